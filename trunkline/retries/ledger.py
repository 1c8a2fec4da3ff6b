"""What waits on one failures partition since it was recovered, and what of it is not durable yet.

Attempts and records of the failures topic change the memory at once; transactions make the changes
durable, one after the other, each with all that has come together meanwhile. When one fails, the
whole ledger is thrown away, and the next one is read from the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from models.failures import EventId, HeldKey, RetryEntry, RetryState, encode
from trunkline.delivery.producer_call import OutRecord
from trunkline.delivery.steady_time import now_ms
from trunkline.retries.failures import Failures
from trunkline.retries.policy import RetryPolicy
from trunkline.retries.schedule import LaneId, Schedule, Waiting
from trunkline.retries.store import Changes, OpenPartition

#: How far back the time of a failure is taken for true that another pod tells.
_TRUSTED_MS = 60_000


class Ledger:
    """The schedule of a partition together with its table.

    Args:
        failures: What all of this worker's failures partitions share.
        store: The partition of the table, just opened.
        on_change: Called when there is something to commit, or to try.

    """

    def __init__(
        self, failures: Failures, store: OpenPartition, on_change: Callable[[], None]
    ) -> None:
        self.schedule = Schedule(self._release)
        #: Offset of the failures topic up to which all is applied, in memory.
        self.applied = store.applied
        #: A transaction was lost: nothing of what is here counts any more.
        self.is_closed = False
        self._failures = failures
        self._store = store
        self._on_change = on_change
        self._changes = Changes()
        #: Entries whose newest state is not in the store yet.
        self._ahead: dict[EventId, RetryEntry] = {}
        #: Events that failed and will be tried again, once their count is durable.
        self._counted: list[Waiting] = []
        for entry in sorted(store.entries(), key=lambda e: e.order):
            self.schedule.add(self._waiting(entry))

    # -- what the failures agent does with a record

    def wait(self, entry: RetryEntry) -> bool:
        """Let an event wait; False when it waits already."""
        if not self.schedule.add(self._waiting(entry)):
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

    def trusted(self, failed_at_ms: int) -> int:
        """Return from when on an event waits that failed at its source.

        That pod's clock may be wrong. Ahead, it would make the event wait for as much longer;
        behind, it would make it due at once.
        """
        now = now_ms()
        return failed_at_ms if now - _TRUSTED_MS <= failed_at_ms <= now else now

    def hurry(self, event: EventId) -> bool:
        """Make an event due at once, with one attempt more; False when it does not wait."""
        if not self.schedule.hurry(event):
            return False
        entry = self.entry(event)
        self.note(entry, msgspec.structs.replace(entry.state, due_at_ms=0, exhausted=False))
        return True

    def discard(self, event: EventId) -> bool:
        """Let an event go untried, when its turn comes; False when it does not wait."""
        gone = self.schedule.discard(event)
        if gone is None:
            return False
        if attempts := self._failures.attempts.get(event.topic):
            attempts.target.counters.discarded += 1
        self.let_go(gone)
        if not gone:  # it is parked, or runs: remember it for its turn
            entry = self.entry(event)
            self.note(entry, msgspec.structs.replace(entry.state, discarded=True))
        return True

    def ask(self, lane: LaneId, last: int) -> None:
        """Answer a source partition's worker: release a key that nothing is in front of."""
        if not self.schedule.holds(lane):
            self._release(lane, last)

    def note_applied(self, offset: int) -> None:
        """Note that a record of the failures topic has had its effect."""
        self.applied = self._changes.applied = offset

    # -- what comes of attempts

    def entry(self, event: EventId) -> RetryEntry:
        """Return a waiting event with its newest state."""
        entry = self._ahead.get(event) or self._store.get(event)
        assert entry is not None, f"{event} waits, but the table does not have it"
        return entry

    def note(self, entry: RetryEntry, state: RetryState) -> None:
        """Give a waiting event a new state."""
        self._ahead[entry.id] = msgspec.structs.replace(entry, state=state)
        self._changes.states[entry.id] = state
        self._on_change()

    def again_when_durable(self, waiting: Waiting) -> None:
        """Let an event that failed wait again as soon as its new count is committed.

        A count that ran ahead would be lost in a crash, and its attempt made a second time.
        """
        self._counted.append(waiting)
        self._on_change()

    def let_go(self, gone: Sequence[Waiting]) -> None:
        """Delete events that left the schedule from the table."""
        for waiting in gone:
            self._changes.gone.append(waiting.id)
            self._ahead.pop(waiting.id, None)
        self._on_change()

    def send(self, records: Sequence[OutRecord]) -> None:
        """Write records to other topics in the next transaction."""
        self._changes.records += records

    # -- durable

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._changes)

    async def commit(self) -> int | None:
        """Make all changes so far durable.

        Returns:
            The offset of the failures topic up to which all is applied, None when it is as before.

        Raises:
            StoreLostError: The ledger is of no use any more.

        """
        changes, self._changes = self._changes, Changes()
        counted, self._counted = self._counted, []
        ahead = dict(self._ahead)
        await self._store.commit(changes)
        for event, entry in ahead.items():
            if self._ahead.get(event) is entry:
                del self._ahead[event]
        for waiting in counted:
            self.schedule.again(waiting, waiting.due_ms)
        if counted:
            self._on_change()
        return changes.applied

    def _waiting(self, entry: RetryEntry) -> Waiting:
        state = entry.state
        return Waiting(
            entry.id,
            self._lane(entry),
            entry.order,
            held=entry.held,
            attempts=state.attempts,
            due_ms=self._not_too_late(entry.id.topic, state),
            exhausted=state.exhausted,
            discarded=state.discarded,
        )

    def _not_too_late(self, topic: str, state: RetryState) -> int:
        """Return when a waiting event is due: an earlier owner's clock may have been ahead."""
        longest_s = self.policy_of(topic).longest_delay_s(state.attempts)
        return min(state.due_at_ms, now_ms() + math.ceil(1000 * longest_s))

    def _lane(self, entry: RetryEntry) -> LaneId | None:
        if entry.key is None:
            return None
        attempts = self._failures.attempts.get(entry.id.topic)
        ordered = entry.held or (attempts is not None and attempts.target.policy.ordered)
        # One that is dead at once waits for nobody: only what is held is tried in order.
        if not ordered or (entry.state.exhausted and not entry.held):
            return None
        return entry.id.topic, entry.id.partition, entry.key

    def _release(self, lane: LaneId, last: int) -> None:
        topic, partition, key = lane
        at = encode(HeldKey("release", topic, partition, key))
        topic = self._failures.held_keys_topic
        self._changes.records.append(OutRecord(topic, encode(last), key=at))
        self._on_change()
