"""One partition of a failures topic while this worker has it: recover, try again, commit.

What the schedule decides runs ahead in memory; a transaction makes it durable, one after the other,
each with all that has come together meanwhile. When one fails, everything in memory is thrown away
and read anew from the table: attempts that had ended since are made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from models.failures import ErrorInfo, EventId, HeldKey, RetryEntry, RetryState, encode
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import TrunklineError
from trunkline.retries.attempt import Attempts
from trunkline.retries.failures import DeadBatch, Failures
from trunkline.retries.policy import RetryPolicy
from trunkline.retries.schedule import LaneId, Schedule, Waiting
from trunkline.retries.store import Changes, OpenPartition, StoreLostError
from trunkline.retries.workers import Workers

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
#: Even when handlers took all the time there was: what came of them is to be committed.
_LAST_COMMIT_S = 1.0
#: How long an event waits whose topic this worker has no handler for.
_NO_HANDLER_MS = 30_000
#: How long an event waits whose handler's dependency is away, before the breaker is asked again.
_BREAKER_MS = 500
#: How long a dead event waits that the flood guard stopped, before the guard is asked again.
_FLOOD_MS = 1_000


def now_ms() -> int:
    """Return the Unix time; rounded down, so that nothing is early."""
    return int(time.time() * 1000)


class FailuresPartition:
    """The engine of one failures partition.

    Args:
        failures: What all of this worker's failures partitions share.
        partition: Which one.
        tracker: Its offsets, for this assignment.

    """

    def __init__(self, failures: Failures, partition: int, tracker: OffsetTracker) -> None:
        self.tracker = tracker
        self.partition = partition
        self._failures = failures
        self._store: OpenPartition | None = None
        #: Fetched records whose effect is not committed.
        self._records: deque[Any] = deque()
        self._stopping = False
        self._dirty = asyncio.Event()
        self._dying: list[tuple[Waiting, RetryEntry]] = []
        self._reset()
        self._task = asyncio.create_task(self._live())
        self._task.add_done_callback(_shout)

    def _reset(self) -> None:
        self._schedule = Schedule(self._release)
        self._changes = Changes()
        self._applied = -1
        #: Entries whose newest state is not in the store yet.
        self._ahead: dict[EventId, RetryEntry] = {}
        self._dying.clear()
        #: Events that failed and will be tried again, once their count is durable.
        self._counted: list[Waiting] = []
        #: What showed outside of a commit that the table cannot be read any more.
        self._lost: StoreLostError | None = None
        self._workers = Workers(self._failures.concurrency, self._take, self._try, self._next_in_s)

    # -- told by the dispatcher

    @property
    def is_open(self) -> bool:
        """Whether what waits is known, and is being tried."""
        return self._store is not None

    @property
    def schedule(self) -> Schedule:
        """What waits."""
        return self._schedule

    @property
    def running(self) -> int:
        """How many attempts run."""
        return self._workers.busy

    def feed(self, records: Sequence[Any]) -> None:
        """Apply fetched records, in the order of their offsets."""
        self._records.extend(records)
        if self._store is not None:
            self._apply(records)

    async def drain(self, timeout_s: float) -> bool:
        """Begin no attempt, let those that run end, and commit what came of them.

        Returns:
            Whether all of that happened in time.

        """
        deadline = time.monotonic() + timeout_s
        self._stopping = True
        await self._workers.end(timeout_s)
        self._dirty.set()
        left_s = max(_LAST_COMMIT_S, deadline - time.monotonic())
        done, _ = await asyncio.wait({self._task}, timeout=left_s)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_LAST_COMMIT_S)
        return bool(done)

    # -- from taking over to giving up

    async def _live(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                store = await self._failures.store.open(self.partition)
            except TrunklineError as error:
                logger.warning("%s waits: %s", self._name, error)
                pause_s = await self._pause(pause_s)
                continue
            try:
                self._recover(store)
                pause_s = _FIRST_PAUSE_S
                await self._commit_forever()
            except StoreLostError as lost:
                logger.warning("%s is recovered anew: %s", self._name, lost)
                await self._pause(_FIRST_PAUSE_S)
            except Exception:
                # What waits must not wait for ever because of a mistake of ours.
                logger.exception("%s failed, and is recovered anew", self._name)
                pause_s = await self._pause(pause_s)
            finally:
                self._store = None
                await self._workers.end(0)
                self._reset()
                with contextlib.suppress(TrunklineError, OSError):
                    await store.close()

    @property
    def _name(self) -> str:
        return f"{self._failures.topic}[{self.partition}]"

    async def _pause(self, pause_s: float) -> float:
        self._dirty.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._dirty.wait()
        return min(pause_s * 2, _LONGEST_PAUSE_S)

    def _recover(self, store: OpenPartition) -> None:
        began = time.monotonic()
        self._reset()
        for entry in sorted(store.entries(), key=lambda e: e.order):
            self._schedule.add(self._waiting(entry))
        self._applied = store.applied
        self._store = store
        if self._schedule:
            logger.info(
                "%s: %s event(s) wait, %s of them behind their key (read in %.2f s)",
                self._name,
                len(self._schedule),
                self._schedule.parked,
                time.monotonic() - began,
            )
        while self._records and self._records[0].offset <= store.applied:
            self.tracker.finish(self._records.popleft().offset)
        self._apply(list(self._records))
        self._workers.wake()

    def _waiting(self, entry: RetryEntry) -> Waiting:
        state = entry.state
        return Waiting(
            entry.id,
            self._lane(entry),
            entry.order,
            held=entry.held,
            attempts=state.attempts,
            due_ms=state.due_at_ms,
            exhausted=state.exhausted,
            discarded=state.discarded,
        )

    def _lane(self, entry: RetryEntry) -> LaneId | None:
        if entry.key is None:
            return None
        attempts = self._failures.attempts.get(entry.id.topic)
        ordered = entry.held or (attempts is not None and attempts.target.policy.ordered)
        # One that is dead at once waits for nobody: only what is held is tried in order.
        if not ordered or (entry.state.exhausted and not entry.held):
            return None
        return entry.id.topic, entry.id.partition, entry.key

    async def _commit_forever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._lost is not None:
                raise self._lost
            while self._changes:
                await self._commit()
            if self._stopping:
                return

    async def _commit(self) -> None:
        assert self._store is not None
        changes, self._changes = self._changes, Changes()
        counted, self._counted = self._counted, []
        ahead = dict(self._ahead)
        await self._store.commit(changes)
        for event, entry in ahead.items():
            if self._ahead.get(event) is entry:
                del self._ahead[event]
        for waiting in counted:
            self._schedule.again(waiting, waiting.due_ms)
        if counted:
            self._workers.wake()
        if changes.applied is not None:
            while self._records and self._records[0].offset <= changes.applied:
                self.tracker.finish(self._records.popleft().offset)

    # -- what the failures agent does with a record

    def _apply(self, records: Sequence[Any]) -> None:
        for record in records:
            if record.offset <= self._applied:
                continue
            try:
                self._failures.on_record(self, record)
            except StoreLostError as lost:
                self._lose(lost)
                return
            except (ValueError, msgspec.MsgspecError) as error:
                self._failures.unreadable += 1
                logger.error(  # noqa: TRY400  # a stranger's record has no traceback of interest
                    "%s@%s is no failure record and is passed over: %s",
                    self._name,
                    record.offset,
                    error,
                )
            self._applied = record.offset
            self._changes.applied = record.offset
        self._wake()

    def wait(self, entry: RetryEntry) -> bool:
        """Let an event wait; False when it waits already."""
        if not self._schedule.add(self._waiting(entry)):
            return False
        self._changes.entries.append(entry)
        self._ahead[entry.id] = entry
        return True

    def note_redriven(self, event: EventId) -> None:
        """Count an event that came back from dead letters."""
        if attempts := self._failures.attempts.get(event.topic):
            attempts.target.counters.redriven += 1

    def policy_of(self, topic: str) -> RetryPolicy:
        """Return what a topic's failed events are due."""
        return self._failures.policy_of(topic)

    def due_ms(self, policy: RetryPolicy, attempts: int, failed_at_ms: int) -> int:
        """Return when an event is tried again, rounded up: never early."""
        return failed_at_ms + math.ceil(1000 * policy.delay_s(attempts, self._failures.rng))

    def hurry(self, event: EventId) -> bool:
        """Make an event due at once, with one attempt more; False when it does not wait."""
        if not self._schedule.hurry(event):
            return False
        entry = self._entry(event)
        state = msgspec.structs.replace(entry.state, due_at_ms=0, exhausted=False)
        self._note(entry, state)
        return True

    def discard(self, event: EventId) -> bool:
        """Let an event go untried, when its turn comes; False when it does not wait."""
        gone = self._schedule.discard(event)
        if gone is None:
            return False
        if attempts := self._failures.attempts.get(event.topic):
            attempts.target.counters.discarded += 1
        self._let_go(gone)
        if not gone:  # it is parked, or runs: remember it for its turn
            entry = self._entry(event)
            self._note(entry, msgspec.structs.replace(entry.state, discarded=True))
        return True

    def ask(self, lane: LaneId, last: int) -> None:
        """Answer a source partition's worker: release a key that nothing is in front of."""
        if not self._schedule.holds(lane):
            self._release(lane, last)

    # -- attempts

    def _take(self) -> Waiting | None:
        if self._store is None or self._stopping:
            return None
        return self._schedule.take(now_ms())

    def _next_in_s(self) -> float | None:
        due_ms = self._schedule.next_due_ms()
        return None if due_ms is None else due_ms / 1000 - time.time()

    def _wake(self) -> None:
        self._dirty.set()
        self._workers.wake()

    def _lose(self, lost: StoreLostError) -> None:
        self._lost = lost
        self._dirty.set()

    async def _try(self, waiting: Waiting) -> None:
        try:
            await self._try_it(waiting)
        except StoreLostError as lost:
            self._lose(lost)

    async def _try_it(self, waiting: Waiting) -> None:
        attempts = self._failures.attempts.get(waiting.id.topic)
        if attempts is None:
            self._failures.say_no_handler(waiting.id)
            self._schedule.again(waiting, now_ms() + _NO_HANDLER_MS)
            return
        if waiting.discarded:
            self._let_go(self._schedule.finish(waiting))
            return
        entry = self._entry(waiting.id)
        if waiting.exhausted:
            self._die(waiting, entry, attempts)
            return
        breaker = attempts.target.breaker
        if breaker.is_open and not breaker.admits_now:
            self._schedule.again(waiting, now_ms() + _BREAKER_MS)
            return
        if waiting.due_ms:
            self._failures.note_lateness(now_ms() - waiting.due_ms)
        schedule = self._schedule
        async with breaker.admission():
            error = await attempts.attempt(entry)
            is_down = error is not None and breaker.takes(error, is_retry=waiting.attempts > 0)
            if error is None:
                breaker.succeeded()
        if schedule is not self._schedule:
            return  # recovered anew meanwhile
        if is_down:
            self._schedule.again(waiting, now_ms() + _BREAKER_MS)
        elif error is None:
            self._succeeded(waiting, attempts)
        else:
            self._failed(waiting, entry, attempts, error)

    def _entry(self, event: EventId) -> RetryEntry:
        entry = self._ahead.get(event)
        if entry is None:
            assert self._store is not None
            entry = self._store.get(event)
        assert entry is not None, f"{event} waits, but the table does not have it"
        return entry

    def _succeeded(self, waiting: Waiting, attempts: Attempts) -> None:
        counters = attempts.target.counters
        counters.retried += 1
        counters.recovered += 1
        self._let_go(self._schedule.finish(waiting))

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
        due_ms = 0 if gives_up else self.due_ms(policy, count, failure.at_ms)
        self._failures.log_failure(waiting.id, count, failure, gives_up=gives_up)
        self._note(entry, RetryState(count, due_ms, first, info, gives_up, waiting.discarded))
        waiting.attempts, waiting.due_ms = count, due_ms
        if gives_up:
            self._schedule.again(waiting, due_ms, exhausted=True)
            self._wake()
        else:
            self._counted.append(waiting)
            self._dirty.set()

    def _note(self, entry: RetryEntry, state: RetryState) -> None:
        self._ahead[entry.id] = msgspec.structs.replace(entry, state=state)
        self._changes.states[entry.id] = state

    def _let_go(self, gone: Sequence[Waiting]) -> None:
        for waiting in gone:
            self._changes.gone.append(waiting.id)
            self._ahead.pop(waiting.id, None)
        self._wake()

    def _release(self, lane: LaneId, last: int) -> None:
        topic, partition, key = lane
        at = encode(HeldKey("release", topic, partition, key))
        self._changes.records.append(
            OutRecord(self._failures.held_keys_topic, encode(last), key=at)
        )
        self._dirty.set()

    # -- dead letters

    def _die(self, waiting: Waiting, entry: RetryEntry, attempts: Attempts) -> None:
        """Give an event to the dead letters agent, unless too many of them would go there."""
        guard = attempts.target.guard
        if self._tells_the_guard(entry) and not guard.allows():
            self._schedule.again(waiting, now_ms() + _FLOOD_MS, exhausted=True)
            return
        if attempts.target.policy.when_dead == "follow":
            for other in self._schedule.behind(waiting):
                other.exhausted = True
                behind = self._entry(other.id)
                self._note(behind, msgspec.structs.replace(behind.state, exhausted=True))
        if not self._dying:
            asyncio.get_running_loop().call_soon(self._send_dying)
        self._dying.append((waiting, entry))

    @staticmethod
    def _tells_the_guard(entry: RetryEntry) -> bool:
        """Whether the guard hears of it here: who failed at once was told at the source."""
        error = entry.state.last_error
        return error is None or error.kind == "transient"

    def _send_dying(self) -> None:
        dying, self._dying = self._dying, []
        if dying:
            self._failures.send_dead(DeadBatch(self, self._schedule, dying))

    def buried(self, batch: DeadBatch, records: Sequence[OutRecord]) -> None:
        """Let events go whose dead letters go out in the same transaction.

        Args:
            batch: The events, as they were given to the agent.
            records: Their dead letters.

        """
        if self._store is None or batch.schedule is not self._schedule:
            return  # recovered anew meanwhile: they are exhausted, and come again
        self._changes.records += records
        for waiting, _ in batch.dying:
            if attempts := self._failures.attempts.get(waiting.id.topic):
                attempts.target.counters.dead += 1
            self._let_go(self._schedule.finish(waiting))


def _shout(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "A failures partition died", "exception": task.exception()}
        )
