"""The breaker: events wait, uncommitted, while what their handler needs is away.

It is one for a topic and pod. While it is closed it costs one look at an attribute per event, and
nothing on success. Seed: retries and dead letters are for bad events, not for a bad world.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from trunkline.delivery.clock import LOOP_CLOCK, Clock, Timer
from trunkline.delivery.failure import Failure
from trunkline.delivery.failure_window import FailureWindow
from trunkline.delivery.limits import BreakerLimits
from trunkline.delivery.waiters import Waiters
from trunkline.errors import DependencyDown
from trunkline.retries.error_classes import ALWAYS_PERMANENT, kind_of

_log = logging.getLogger(__name__)

#: Each pause is up to this share shorter, so that pods do not probe in step.
_JITTER = 0.25
#: How far ``raise … from …`` is followed; also what ends a cycle.
_MAX_CAUSES = 20
_MAX_LOGGED = 500
#: A probe that hangs for longer counts as failed, so that another event may try.
PROBE_TIMEOUT_S = 60.0


class Breaker:
    """Hold back a topic's events while their dependency is down, and let one at a time try.

    Around a handler, when ``is_open``, or to go on with an event that :meth:`takes` took::

        async with breaker.admission():
            try:
                await handle(event)
            except Exception as error:
                if breaker.takes(error):
                    ...  # not failed: once more from the top
            else:
                breaker.succeeded()

    The probe is the task that :meth:`admission` let through while the breaker was open; verdicts of
    other tasks, whose handlers began earlier, change nothing about it. However the probe's block
    ends, another caller gets the turn, so nobody can hang it.

    Args:
        topic: Real name of the topic, for the log.
        limits: See there.
        handled: Returns how many events of the topic succeeded so far on this pod.
        kind_of: ``transient`` or ``permanent``; only transient failures count for the share.
        clock: For tests.
        rng: For tests: returns 0 to 1.

    """

    def __init__(
        self,
        topic: str,
        limits: BreakerLimits,
        handled: Callable[[], int],
        *,
        kind_of: Callable[[BaseException], str] = kind_of,
        clock: Clock = LOOP_CLOCK,
        rng: Callable[[], float] = random.random,
    ) -> None:
        #: The one thing that the hot path looks at.
        self.is_open = False
        self._topic = topic
        self._limits = limits
        self._kind_of = kind_of
        self._clock = clock
        self._rng = rng
        self._window = FailureWindow(limits.window_s, handled, clock.time)
        self._waiters = Waiters()
        self._timer: Timer | None = None
        #: The pause is over: half-open.
        self._due = False
        #: Who has the turn, and all who were let through to probe and have not ended.
        self._probe: asyncio.Task[Any] | None = None
        self._probes: set[asyncio.Task[Any]] = set()
        self._paused = False
        self._failed_probes = 0
        self._probe_at_s = 0.0
        self._reason = ""
        self._since_ms: int | None = None
        self._opened = 0

    @property
    def admits_now(self) -> bool:
        """Whether :meth:`admission` would not wait."""
        return not self.is_open or (self._due and self._probe is None)

    @asynccontextmanager
    async def admission(self) -> AsyncIterator[None]:
        """Wait while the breaker is open; its block is a probe if it is still open then.

        An error that gets out of the block is judged as by :meth:`takes`.
        """
        task = await self._turn() if self.is_open and not self._is_probe() else None
        try:
            yield
        except (Exception, SystemExit) as error:
            if task is not None:
                self.takes(error)
            raise
        finally:
            if task is not None:
                self._end_probe(task)

    def takes(self, error: BaseException, *, is_retry: bool = False) -> bool:
        """Judge a handler's failure; call it in the task of the handler, once for each failure.

        Args:
            error: What the handler raised.
            is_retry: The event has failed before: that it fails again tells nothing of the others,
                so it does not count for the share.

        Returns:
            True when the failure is the dependency's: the event did not fail, and is to be handled
            again after :meth:`admission`. False when the event takes its usual way; that is also so
            when a rate of failures opened the breaker, lest a bad event is the probe for ever.

        """
        is_down = _blames_dependency(error)
        if not is_down and self._kind_of(error) != "transient":
            return False  # the event's own fault tells nothing: the next one may probe
        if self._is_probe():
            self._open_again(error)
        elif self.is_open:
            pass  # it began before the breaker opened
        elif is_down:
            self._open("dependency", error)
        elif not is_retry:
            self._count(error)
        return is_down

    def succeeded(self) -> None:
        """Close the breaker when the caller is a probe, in time or late; else do nothing."""
        if self.is_open and not self._paused and asyncio.current_task() in self._probes:
            self._close()

    def pause(self, reason: str) -> None:
        """Open for an operator: nobody probes until :meth:`resume`."""
        self._stop_timer()
        self._due = False
        self._probe = None
        self._paused = True
        self._probe_at_s = math.inf
        self._mark_open(f"paused: {reason}")
        _log.warning("%s is paused (%s): its events wait until it is resumed.", self._topic, reason)

    def resume(self) -> None:
        """Close at once, whatever opened it; a dependency that is still down opens it again."""
        if self.is_open:
            self._close()

    def stats(self) -> dict[str, Any]:
        """Return the breaker's part of ``/stats``; times are Unix milliseconds.

        ``opened`` counts how often it opened; ``failures`` are the transient ones of the window.
        """
        waits = self.is_open and not self._due and not self._paused
        wall_ms = time.time() * 1000
        return {
            "state": self._state,
            "reason": self._reason,
            "since_ms": self._since_ms,
            "opened": self._opened,
            "next_probe_at_ms": int(wall_ms + self._pause_left_s() * 1000) if waits else None,
            "failures": self._window.counts()[0],
            "waiting": len(self._waiters),
        }

    @property
    def _state(self) -> str:
        if not self.is_open:
            return "closed"
        return "half-open" if self._due else "open"

    def _pause_left_s(self) -> float:
        return max(0.0, self._probe_at_s - self._clock.time())

    def _is_probe(self) -> bool:
        return self._probe is not None and self._probe is asyncio.current_task()

    def _count(self, error: BaseException) -> None:
        if not self._limits.share:
            return
        self._window.add()
        failures, attempts = self._window.counts()
        if attempts < self._limits.min_attempts or failures <= self._limits.share * attempts:
            return
        self._window.clear()
        told = f"{failures} of the last {attempts} attempts failed"
        self._open("rate", error, f"{told}, at last with ")

    def _open(self, reason: str, error: BaseException, told: str = "") -> None:
        self._failed_probes = 0
        self._schedule_probe()
        self._mark_open(reason)
        _log.warning(
            "%s waits, uncommitted (%s): %s%s. Next try in %.1f s; nothing is retried or given up.",
            self._topic,
            reason,
            told,
            _told(error),
            self._pause_left_s(),
        )

    def _mark_open(self, reason: str) -> None:
        if not self.is_open:
            self._opened += 1
            self._since_ms = int(time.time() * 1000)
        self._reason = reason
        self.is_open = True

    def _open_again(self, error: BaseException) -> None:
        self._probe = None
        self._failed_probes += 1
        self._schedule_probe()
        _log.debug("%s still waits (%.1f s): %r", self._topic, self._pause_left_s(), error)

    def _schedule_probe(self) -> None:
        limits = self._limits
        doubled_s = limits.first_pause_s * 2.0 ** min(self._failed_probes, 64)
        pause_s = min(doubled_s, limits.longest_pause_s) * (1 - _JITTER * self._rng())
        self._stop_timer()
        self._due = False
        self._probe_at_s = self._clock.time() + pause_s
        self._timer = self._clock.call_later(pause_s, self._let_probe)

    def _let_probe(self) -> None:
        self._timer = None
        self._due = True
        self._waiters.wake_one()

    async def _turn(self) -> asyncio.Task[Any] | None:
        """Wait; return the caller's task when it is the probe, None when the breaker is closed."""
        while self.is_open:
            if self.admits_now:
                return self._begin_probe()
            await self._waiters.wait()
        return None

    def _begin_probe(self) -> asyncio.Task[Any] | None:
        self._probe = task = asyncio.current_task()
        if task is not None:
            self._probes.add(task)
        self._timer = self._clock.call_later(PROBE_TIMEOUT_S, self._probe_hangs)
        return task

    def _probe_hangs(self) -> None:
        self._timer = None
        self._open_again(TimeoutError(f"the probe takes longer than {PROBE_TIMEOUT_S:g} s"))

    def _end_probe(self, task: asyncio.Task[Any]) -> None:
        """Pass the turn on if the probe's block ended without a verdict."""
        self._probes.discard(task)
        if self._probe is task:
            self._probe = None
            self._stop_timer()
            self._waiters.wake_one()

    def _close(self) -> None:
        self._stop_timer()
        self._window.clear()
        self._probe = None
        self._probes.clear()
        self.is_open = self._due = self._paused = False
        _log.info("%s goes on (it waited: %s).", self._topic, self._reason)
        self._reason, self._since_ms = "", None
        self._waiters.wake_all()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _blames_dependency(error: BaseException) -> bool:
    """Whether the outermost error that says whose fault it is, blames the dependency."""
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if seen is None or isinstance(seen, ALWAYS_PERMANENT):
            return False
        if isinstance(seen, DependencyDown):
            return True
        seen = seen.__cause__
    return False


def _told(error: BaseException) -> str:
    """Return class and message, whatever the error's ``__str__`` does."""
    failure = Failure.of(error, "transient")
    return f"{failure.exception}: {failure.message}"[:_MAX_LOGGED]
