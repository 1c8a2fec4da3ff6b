"""Try what is due on one failures partition, and note in its ledger what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from models.failures import ErrorInfo, EventId, RetryEntry, RetryState
from trunkline.delivery.breaker import Breaker
from trunkline.delivery.steady_time import now_ms, now_s
from trunkline.retries.attempt import Attempts
from trunkline.retries.burials import Burials
from trunkline.retries.failures import Failures
from trunkline.retries.ledger import Ledger
from trunkline.retries.schedule import Waiting
from trunkline.retries.store import StoreLostError
from trunkline.retries.workers import Workers

logger = logging.getLogger(__name__)

#: How long an event waits whose topic this worker has no handler for.
_NO_HANDLER_MS = 30_000
#: How long an event waits at whose attempt our own code failed, so that the others can go on.
_OUR_MISTAKE_MS = 30_000
#: How long an event waits whose handler's dependency is away, before the breaker is asked again.
_BREAKER_MS = 500
#: How long an event waits whose partition an operator has paused, before that is looked at again.
_PAUSE_MS = 2_000


class Trials:
    """The attempts of one failures partition, as long as its ledger is good.

    Args:
        failures: What all of this worker's failures partitions share.
        ledger: What waits.
        on_lost: Called when the table cannot be read any more, or an attempt ended in a mistake of
            ours.
        set_aside: Event to the Unix time in ms until which it is not tried, because our own code
            failed at it; kept over recoveries.

    """

    def __init__(
        self,
        failures: Failures,
        ledger: Ledger,
        on_lost: Callable[[StoreLostError], None],
        set_aside: dict[EventId, int],
    ) -> None:
        self._failures = failures
        self._ledger = ledger
        self._on_lost = on_lost
        self._set_aside = set_aside
        self._burials = Burials(failures, ledger)
        #: Attempts that run, the oldest first.
        self._running: dict[EventId, int] = {}
        self._workers = Workers(
            failures.concurrency, self._take, self._try, self._next_in_s, self._died
        )

    @property
    def running(self) -> int:
        """How many attempts run."""
        return self._workers.busy

    @property
    def oldest(self) -> tuple[EventId, int] | None:
        """The attempt that has run for the longest time: the event, and which attempt it is."""
        return next(iter(self._running.items()), None)

    def wake(self) -> None:
        """Look whether something is due, now or later."""
        self._workers.wake()

    async def end(self, timeout_s: float) -> None:
        """Begin no attempt, let those that run end, and cancel them when the time is up."""
        await self._workers.end(timeout_s)

    def _take(self) -> Waiting | None:
        return self._ledger.schedule.take(now_ms())

    def _next_in_s(self) -> float | None:
        due_ms = self._ledger.schedule.next_due_ms()
        return None if due_ms is None else due_ms / 1000 - now_s()

    def _died(self, error: BaseException) -> None:
        """Begin anew from what is durable: what the worker was at would never be tried again."""
        self._on_lost(StoreLostError(f"A retry worker died: {error!r}"))

    async def _try(self, waiting: Waiting) -> None:
        if until_ms := self._set_aside.get(waiting.id):
            if until_ms > now_ms():
                self._ledger.schedule.again(waiting, until_ms)
                return
            del self._set_aside[waiting.id]
        try:
            await self._try_it(waiting)
        except StoreLostError as lost:
            self._on_lost(lost)
        except (Exception, asyncio.CancelledError) as error:
            # Ours, not the handler's: what is in memory cannot be trusted, and the event must not
            # be the first again after each recovery. A cancellation is ours when we end.
            if self._workers.is_ending:
                raise
            logger.exception("Trying %s failed by a mistake of ours; it waits 30 s", waiting.id)
            self._set_aside[waiting.id] = now_ms() + _OUR_MISTAKE_MS
            self._on_lost(StoreLostError(f"Trying {waiting.id} failed: {error!r}"))

    async def _try_it(self, waiting: Waiting) -> None:
        schedule = self._ledger.schedule
        attempts = self._failures.attempts.get(waiting.id.topic)
        if attempts is None:
            self._failures.say_no_handler(waiting.id)
            schedule.again(waiting, now_ms() + _NO_HANDLER_MS)
            return
        if waiting.discarded:
            self._ledger.let_go(schedule.finish(waiting))
            return
        breaker = attempts.target.breaker
        if not waiting.exhausted and (pause_ms := self._pause_ms(waiting, breaker)):
            schedule.again(waiting, now_ms() + pause_ms)  # its entry need not be read for that
            return
        entry = self._ledger.entry(waiting.id)
        if waiting.exhausted:
            self._burials.bury(waiting, entry, attempts)
            return
        if waiting.due_ms:
            self._failures.note_lateness(now_ms() - waiting.due_ms)
        if breaker.is_open:
            async with breaker.admission():
                error, is_down = await self._attempt(waiting, entry, attempts)
        else:  # it would let this through at once; to ask it costs more than to look
            error, is_down = await self._attempt(waiting, entry, attempts)
        if self._ledger.is_closed:
            return  # recovered anew meanwhile
        if is_down:
            schedule.again(waiting, now_ms() + _BREAKER_MS)
        elif error is None:
            self._succeeded(waiting, attempts)
        else:
            self._failed(waiting, entry, attempts, error)

    async def _attempt(
        self, waiting: Waiting, entry: RetryEntry, attempts: Attempts
    ) -> tuple[BaseException | None, bool]:
        """Return what the handler raised, and whether that is its dependency's fault."""
        breaker = attempts.target.breaker
        began = time.monotonic()
        self._running[waiting.id] = waiting.attempts + 1
        try:
            error = await attempts.attempt(entry)
        finally:
            del self._running[waiting.id]
        attempts.target.handler_seconds.observe(time.monotonic() - began)
        if error is None:
            breaker.succeeded()
            return None, False
        return error, breaker.takes(error, is_retry=waiting.attempts > 0)

    def _pause_ms(self, waiting: Waiting, breaker: Breaker) -> int:
        """Return how long nothing of the event's partition is to be tried; 0 when it may be."""
        if self._failures.pauses.covers(waiting.id.topic, waiting.id.partition):
            # In the end all that waits is due: to look at 5,000 a second must be enough.
            return _PAUSE_MS + len(self._ledger.schedule) // 5
        return _BREAKER_MS if breaker.is_open and not breaker.admits_now else 0

    def _succeeded(self, waiting: Waiting, attempts: Attempts) -> None:
        counters = attempts.target.counters
        counters.retried += 1
        counters.recovered += 1
        self._ledger.let_go(self._ledger.schedule.finish(waiting))

    def _failed(
        self, waiting: Waiting, entry: RetryEntry, attempts: Attempts, error: BaseException
    ) -> None:
        attempts.target.counters.retried += 1
        policy = attempts.target.policy
        failure = attempts.failure_of(error)
        info = ErrorInfo(
            failure.kind, failure.exception, failure.message, failure.stacktrace, failure.at_ms
        )
        first = entry.state.first_error or msgspec.structs.replace(info, stacktrace="")
        count = waiting.attempts + 1
        gives_up = failure.kind != "transient" or policy.is_exhausted(
            count, first.at_ms, failure.at_ms
        )
        due_ms = 0 if gives_up else self._ledger.due_ms(policy, count, failure.at_ms)
        self._failures.log_failure(waiting.id, count, failure, gives_up=gives_up)
        state = RetryState(count, due_ms, first, info, gives_up, waiting.discarded)
        self._ledger.note(entry, state)
        waiting.attempts, waiting.due_ms = count, due_ms
        if gives_up:
            self._ledger.schedule.again(waiting, due_ms, exhausted=True)
            self.wake()
        else:
            self._ledger.again_when_durable(waiting)
