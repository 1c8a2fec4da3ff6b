"""One partition of a failures topic while this worker has it: recover, apply, commit, give up.

What waits stands in a ledger (``ledger.py``), what is due is tried (``trials.py``). When a
transaction fails, both are thrown away and read anew from the table: attempts that had ended since
are made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from models.failures import EventId, NewerFormatError
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.progress import Standing
from trunkline.delivery.steady_time import now_ms
from trunkline.errors import TrunklineError
from trunkline.retries.failures import Failures
from trunkline.retries.ledger import Ledger
from trunkline.retries.schedule import Schedule
from trunkline.retries.store import OpenPartition, StoreLostError
from trunkline.retries.trials import Trials

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
#: Even when handlers took all the time there was: what came of them is to be committed.
_LAST_COMMIT_S = 1.0


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
        #: None until the table is read, and while it is read anew.
        self._ledger: Ledger | None = None
        self._trials: Trials | None = None
        #: Fetched records whose effect is not committed.
        self._records: deque[Any] = deque()
        self._stopping = False
        self._opening: asyncio.Task[OpenPartition] | None = None
        self._dirty = asyncio.Event()
        #: What showed outside of a commit that the table cannot be read any more.
        self._lost: StoreLostError | NewerFormatError | None = None
        #: Events at which our own code failed, and until when they wait.
        self._set_aside: dict[EventId, int] = {}
        self._task = asyncio.create_task(self._live())
        self._task.add_done_callback(_shout)

    # -- told by the dispatcher

    @property
    def is_open(self) -> bool:
        """Whether what waits is known, and is being tried."""
        return self._ledger is not None

    @property
    def recovering(self) -> bool:
        """Whether what waits is still being read."""
        return self._ledger is None

    @property
    def schedule(self) -> Schedule | None:
        """What waits; None while that is not known."""
        return None if self._ledger is None else self._ledger.schedule

    @property
    def waiting(self) -> int:
        """How many events wait, as far as is known."""
        return 0 if self._ledger is None else len(self._ledger.schedule)

    @property
    def oldest_failed_at_ms(self) -> int | None:
        """When the event that has waited longest failed first; None when none waits, or has."""
        ledger = self._ledger
        oldest = None if ledger is None else ledger.schedule.oldest()
        if ledger is None or oldest is None:
            return None
        first = ledger.entry(oldest.id).state.first_error
        return None if first is None else first.at_ms

    @property
    def running(self) -> int:
        """How many attempts run."""
        return 0 if self._trials is None else self._trials.running

    def standing(self) -> list[Standing]:
        """Return the oldest attempt, what is due and not tried, and what is not committed."""
        ledger, trials = self._ledger, self._trials
        if ledger is None or trials is None:
            return [Standing("nothing is tried", "what waits is being read")]
        found = []
        if trials.oldest is not None:
            event, number = trials.oldest
            found.append(Standing(f"attempt {number} at {event} has not ended"))
        due_ms = ledger.schedule.next_due_ms()
        if due_ms is not None and due_ms < now_ms() and not trials.running:
            found.append(Standing(f"what was due at {due_ms} (Unix ms) has not been tried"))
        if (oldest := self.tracker.oldest_unfinished) is not None:
            found.append(Standing(f"the record at offset {oldest} has not been applied"))
        return found

    def feed(self, records: Sequence[Any]) -> None:
        """Apply fetched records, in the order of their offsets."""
        self._records.extend(records)
        if self._ledger is not None:
            self._apply(self._ledger, records)

    async def drain(self, timeout_s: float) -> bool:
        """Begin no attempt, let those that run end, and commit what came of them.

        Returns:
            Whether all of that happened in time.

        """
        deadline = time.monotonic() + timeout_s
        self._stopping = True
        if self._opening is not None:
            # Nothing is known yet, so there is nothing to end: Kafka may be away for long.
            self._opening.cancel()
        if self._trials is not None:
            await self._trials.end(timeout_s)
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
                store = await self._open()
            except TrunklineError as error:
                logger.warning("%s waits: %s", self._name, error)
                pause_s = await self._pause(pause_s)
                continue
            if store is None:
                return
            try:
                ledger = self._recover(store)
                pause_s = _FIRST_PAUSE_S
                await self._commit_forever(ledger)
            except StoreLostError as lost:
                logger.warning("%s is recovered anew: %s", self._name, lost)
                await self._pause(_FIRST_PAUSE_S)
            except NewerFormatError as newer:
                # Not passed over, as a stranger's record is: it is an event that some worker of
                # this group has handed over.
                logger.error("%s waits: %s", self._name, newer)  # noqa: TRY400  # no mistake
                await self._pause(_LONGEST_PAUSE_S)
            except Exception:
                # What waits must not wait for ever because of a mistake of ours.
                logger.exception("%s failed, and is recovered anew", self._name)
                pause_s = await self._pause(pause_s)
            finally:
                await self._close(store)

    async def _open(self) -> OpenPartition | None:
        """Open the table; None when the partition was given away meanwhile."""
        self._opening = asyncio.create_task(self._failures.store.open(self.partition))
        try:
            store = await self._opening
        except asyncio.CancelledError:
            if self._task.cancelling():
                raise
            return None
        finally:
            self._opening = None
        if self._stopping:  # it was open just before it could be cancelled
            await self._close(store)
            return None
        return store

    def _recover(self, store: OpenPartition) -> Ledger:
        began = time.monotonic()
        ledger = Ledger(self._failures, store, self._wake)
        trials = Trials(self._failures, ledger, self._lose, self._set_aside)
        if ledger.schedule:
            logger.info(
                "%s: %s event(s) wait, %s of them behind their key (read in %.2f s)",
                self._name,
                len(ledger.schedule),
                ledger.schedule.parked,
                time.monotonic() - began,
            )
        self._lost = None
        self._ledger, self._trials = ledger, trials
        self._finish(ledger.applied)
        self._apply(ledger, list(self._records))
        return ledger

    async def _close(self, store: OpenPartition) -> None:
        ledger, trials = self._ledger, self._trials
        self._ledger = self._trials = None
        if ledger is not None:
            ledger.is_closed = True
        if trials is not None:
            await trials.end(0)
        with contextlib.suppress(TrunklineError, OSError):
            await store.close()

    async def _commit_forever(self, ledger: Ledger) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._lost is not None:
                raise self._lost
            while ledger.has_changes:
                applied = await ledger.commit()
                if applied is not None:
                    self._finish(applied)
            if self._stopping:
                return

    def _finish(self, applied: int) -> None:
        """Let the offsets of records be committed whose effect is durable."""
        while self._records and self._records[0].offset <= applied:
            self.tracker.finish(self._records.popleft().offset)

    def _apply(self, ledger: Ledger, records: Sequence[Any]) -> None:
        for record in records:
            if record.offset <= ledger.applied:
                continue
            try:
                self._failures.on_record(ledger, record)
            except (StoreLostError, NewerFormatError) as lost:
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
            ledger.note_applied(record.offset)
        self._wake()

    @property
    def _name(self) -> str:
        return f"{self._failures.topic}[{self.partition}]"

    async def _pause(self, pause_s: float) -> float:
        self._dirty.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._dirty.wait()
        return min(pause_s * 2, _LONGEST_PAUSE_S)

    def _wake(self) -> None:
        self._dirty.set()
        if self._trials is not None:
            self._trials.wake()

    def _lose(self, lost: StoreLostError | NewerFormatError) -> None:
        self._lost = lost
        self._dirty.set()


def _shout(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "A failures partition died", "exception": task.exception()}
        )
