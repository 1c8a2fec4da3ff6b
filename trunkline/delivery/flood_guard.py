"""The flood guard: when most events of a topic would become dead letters, something else is wrong.

A wrong release or a changed format would empty a topic into its dead letters within minutes. The
guard stops that and raises an alarm; what it stops stays where it is, uncommitted. It is one for a
topic and pod.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from trunkline.delivery.clock import LOOP_CLOCK, Clock, Timer
from trunkline.delivery.failure_window import FailureWindow
from trunkline.delivery.limits import FloodLimits
from trunkline.delivery.waiters import Waiters

_log = logging.getLogger(__name__)


class FloodGuard:
    """Let events become dead letters as long as they are not most of a topic's events.

    Ask before anything is written, and ask again for the same events after :meth:`wait`::

        while not guard.allows(len(events)):
            await guard.wait()

    After a pause a few are let through. They are a tenth of the least number that is judged at
    all, but at least the first call's, however many it asks for: a topic of bad events alone goes
    on slowly. If these few are as bad, it trips again, else it forgets the flood.

    Args:
        topic: Real name of the topic, for the log.
        limits: See there.
        handled: Returns how many events of the topic succeeded so far on this pod.
        clock: For tests.

    """

    def __init__(
        self,
        topic: str,
        limits: FloodLimits,
        handled: Callable[[], int],
        *,
        clock: Clock = LOOP_CLOCK,
    ) -> None:
        #: Whether nothing is let through now.
        self.tripped = False
        self._topic = topic
        self._limits = limits
        self._clock = clock
        self._window = FailureWindow(limits.window_s, handled, clock.time)
        self._waiters = Waiters()
        self._timer: Timer | None = None
        #: What comes after a pause is on probation: until when, and whether anything came.
        self._on_probation = False
        self._first_came = False
        self._until_s = 0.0
        self._trips = 0
        self._since_ms: int | None = None
        self._share = 0.0

    def look(self) -> None:
        """Note how many events have succeeded; called once a second.

        Dead letters come when their retries are over: what succeeded meanwhile is to count.
        """
        if self._limits.share and not self.tripped:
            self._window.add(0)

    def allows(self, n: int = 1) -> bool:
        """Tell whether ``n`` events may become dead letters now; if so they count as such."""
        if self.tripped:
            return False
        if not self._limits.share:
            return True
        self._settle()
        self._window.add(n)
        if self._is_flood() and not self._is_first_after_pause():
            self._trip()
            return False
        self._first_came = True
        return True

    @property
    def pause_ms(self) -> int:
        """How long it is until something is let through again; 0 when it is now."""
        if not self.tripped:
            return 0
        return max(1, math.ceil((self._until_s - self._clock.time()) * 1000))

    async def wait(self) -> None:
        """Wait until something is let through again."""
        while self.tripped:
            await self._waiters.wait()

    def resume(self) -> None:
        """Let through at once, for an operator; it trips again if the flood goes on."""
        if self.tripped or self._on_probation:
            self._window.clear()
            self._close()

    def stats(self) -> dict[str, Any]:
        """Return the guard's part of ``/stats``; times are Unix milliseconds.

        ``dead`` and ``events`` are those of the window, ``share`` is that of the last trip.
        """
        self._settle()
        dead, total = self._window.counts()
        now_ms = int(time.time() * 1000)
        return {
            "state": self._state,
            "since_ms": self._since_ms,
            "tripped": self._trips,
            "share": round(self._share, 3),
            "next_try_at_ms": now_ms + self.pause_ms if self.tripped else None,
            "dead": dead,
            "events": total,
            "waiting": len(self._waiters),
        }

    @property
    def _state(self) -> str:
        if self.tripped:
            return "tripped"
        return "half-open" if self._on_probation else "closed"

    def _is_flood(self) -> bool:
        dead, total = self._window.counts()
        return total >= self._least and dead > self._limits.share * total

    @property
    def _least(self) -> int:
        return self._limits.few if self._on_probation else self._limits.min_events

    def _is_first_after_pause(self) -> bool:
        return self._on_probation and not self._first_came

    def _settle(self) -> None:
        """End the probation when enough events came and most were good, or its time is over."""
        if not self._on_probation:
            return
        enough = self._window.counts()[1] >= self._least and not self._is_flood()
        if enough or self._clock.time() > self._until_s:
            self._close()

    def _trip(self) -> None:
        limits = self._limits
        dead, total = self._window.counts()
        if not self._on_probation:
            self._since_ms = int(time.time() * 1000)
        self._trips += 1
        self._share = dead / total
        self.tripped, self._on_probation = True, False
        self._until_s = self._clock.time() + limits.pause_s
        self._timer = self._clock.call_later(limits.pause_s, self._let_a_few_through)
        _log.error(
            "ALARM: %.0f %% of the last %d events of %s are bad (%d would be dead letters, the "
            "limit is %.0f %%): its bad events wait, uncommitted, for %g s. See what fails with "
            "'trunkline dlq ls'; mend the handler or the publisher and restart, or raise "
            "TRUNKLINE_FLOOD_GUARD_SHARE if they are to be dead letters.",
            100 * self._share,
            total,
            self._topic,
            dead,
            100 * limits.share,
            limits.pause_s,
        )

    def _let_a_few_through(self) -> None:
        self._timer = None
        self.tripped, self._on_probation, self._first_came = False, True, False
        self._until_s = self._clock.time() + self._limits.window_s
        self._window.clear()
        self._window.add(0)
        self._waiters.wake_all()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.tripped = self._on_probation = False
        self._since_ms = None
        _log.info("The flood of bad events of %s is over.", self._topic)
        self._waiters.wake_all()
