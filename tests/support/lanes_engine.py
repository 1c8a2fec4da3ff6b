"""One life of the retry engine of the failures partition, in the model of lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models.failures import EventId, HeldKey
from tests.support.lanes_world import MAX_ATTEMPTS, TOPIC, Dead, Entry, FailureRecord, World
from trunkline.retries.schedule import LaneId, Schedule, Waiting


class Engine:
    """Apply the failures partition, try what is due, and commit in transactions.

    Until :meth:`commit` nothing of it is durable.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.schedule = Schedule(self._release)
        self.entries = {event: replace(entry) for event, entry in world.table.items()}
        self.applied = world.applied
        self.running: list[Waiting] = []
        self._pending: list[Callable[[], object]] = []
        for entry in sorted(self.entries.values(), key=lambda entry: entry.order):
            assert self.schedule.add(self._waiting_of(entry))

    def apply(self, count: int, delay_ms: int) -> None:
        """Apply the next records of the failures partition."""
        for _ in range(count):
            at = self.applied + 1
            if at == len(self.world.failures):
                return
            record = self.world.failures[at]
            self._apply(record, at, delay_ms)
            if record.twice:  # a zombie's copy came right behind it
                self._apply(record, at, delay_ms)
            self.applied = at
            self._later(lambda at=at: setattr(self.world, "applied", at))

    def _apply(self, record: FailureRecord, at: int, delay_ms: int) -> None:
        event = record.event.id
        if record.kind == "now":
            if self.schedule.hurry(event):  # it is not durable: the next life has the old time
                self.entries[event].exhausted = False
                self.entries[event].due_ms = 0
        elif record.kind == "discard":
            gone = self.schedule.discard(event)
            if gone == []:
                self.entries[event].discarded = True
                self._put(event)
            self._discarded(gone or [])
        elif record.kind == "ask":
            key = record.event.key
            assert key is not None
            if not self.schedule.holds((TOPIC, 0, key)):
                self._release((TOPIC, 0, key), event.offset)
        else:
            self._add(record, at, delay_ms)

    def _add(self, record: FailureRecord, at: int, delay_ms: int) -> None:
        key = record.event.key
        dead = record.kind == "failed" and record.outcome != "transient"
        in_lane = (
            self.world.rules.ordered
            and key is not None
            and (record.held or not dead or self.world.rules.dead_in_lane)
        )
        entry = Entry(record.event, at, record.held, in_lane, redrives=record.redrives)
        if record.kind == "failed":
            entry.attempts = 1
            entry.exhausted = dead
            entry.due_ms = 0 if dead else self.world.now_ms + delay_ms
        if self.schedule.add(self._waiting_of(entry)):
            self.entries[record.event.id] = entry
            self._put(record.event.id)

    def take(self) -> bool:
        """Begin with the next event that is due."""
        due_ms = self.schedule.next_due_ms()
        waiting = self.schedule.take(self.world.now_ms)
        if waiting is None:
            assert due_ms is None or due_ms > self.world.now_ms
            return False
        due = self.entries[waiting.id].due_ms
        assert due <= self.world.now_ms, "taken before it was due"
        assert waiting.due_ms == due_ms
        if waiting.discarded:
            self._discarded(self.schedule.finish(waiting))
        elif waiting.exhausted:
            self._bury(waiting)
        else:
            self.running.append(waiting)
        return True

    def finish(self, waiting: Waiting, others: set[EventId], delay_ms: int) -> None:
        """Let a running attempt end as its fate says."""
        self.running.remove(waiting)
        entry = self.entries[waiting.id]
        outcome = entry.event.fate.of(waiting.attempts + 1, entry.redrives)
        if outcome == "handled":
            self.world.note_handled(entry.event, others | self.waiting() - {waiting.id})
            first, *ghosts = self.schedule.finish(waiting)
            assert first is waiting
            self._forget(waiting.id)
            self._discarded(ghosts)
            return
        entry.attempts = waiting.attempts + 1
        entry.exhausted = outcome != "transient" or entry.attempts >= MAX_ATTEMPTS
        entry.due_ms = 0 if entry.exhausted else self.world.now_ms + delay_ms
        self.schedule.again(
            waiting, entry.due_ms, attempts=entry.attempts, exhausted=entry.exhausted
        )
        self._put(waiting.id)

    def commit(self) -> None:
        """Let everything that happened so far become durable, in one transaction."""
        for change in self._pending:
            change()
        self._pending.clear()
        assert self.world.table.keys() == self.entries.keys()

    def waiting(self) -> set[EventId]:
        """Return the events that are held and not through, as this engine knows."""
        held = {event for event, entry in self.entries.items() if entry.held}
        return held | waiting_in(self.world, self.applied)

    def check(self) -> None:
        """Check the schedule against what it was told."""
        schedule, entries = self.schedule, self.entries
        assert len(schedule) == len(entries)
        lanes: dict[bytes | None, list[Entry]] = {}
        for entry in sorted(entries.values(), key=lambda entry: entry.order):
            waiting = schedule.get(entry.event.id)
            assert waiting is not None
            assert (waiting.attempts, waiting.exhausted) == (entry.attempts, entry.exhausted)
            if entry.in_lane:
                lanes.setdefault(entry.event.key, []).append(entry)
        assert schedule.lanes == len(lanes)
        assert schedule.parked == sum(len(lane) - 1 for lane in lanes.values())
        heads = [lane[0] for lane in lanes.values()]
        heads += [entry for entry in entries.values() if not entry.in_lane]
        idle = [e for e in heads if not any(w.id == e.event.id for w in self.running)]
        due_ms = schedule.next_due_ms()
        assert (due_ms is None) == (not idle), "something waits for ever"
        for key, lane in lanes.items():
            assert schedule.holds((TOPIC, 0, key or b"")) == any(entry.held for entry in lane)
            behind = {entry.event.id for entry in lane[1:]}
            assert not any(w.id in behind for w in self.running), "tried before its turn"

    def _bury(self, head: Waiting) -> None:
        if self.world.rules.follow:
            for other in self.schedule.behind(head):
                other.exhausted = self.entries[other.id].exhausted = True
                self._put(other.id)
        entry = self.entries[head.id]
        letter = Dead(entry.event, entry.attempts, entry.redrives)
        first, *ghosts = self.schedule.finish(head)
        assert first is head
        self._later(lambda: self.world.dead.append(letter))
        self._forget(head.id)
        self._discarded(ghosts)

    def _release(self, lane: LaneId, offset: int) -> None:
        at = HeldKey("release", *lane)
        self._later(lambda: self.world.held_keys.append((at, offset)))

    def _discarded(self, gone: list[Waiting]) -> None:
        for waiting in gone:
            self._later(lambda event=waiting.id: self.world.discarded.update([event]))
            self._forget(waiting.id)

    def _put(self, event: EventId) -> None:
        now = replace(self.entries[event])
        self._later(lambda: self.world.table.update({event: now}))

    def _forget(self, event: EventId) -> None:
        del self.entries[event]
        self._later(lambda: self.world.table.pop(event))

    def _later(self, change: Callable[[], object]) -> None:
        self._pending.append(change)

    def _waiting_of(self, entry: Entry) -> Waiting:
        key = entry.event.key
        return Waiting(
            entry.event.id,
            (TOPIC, 0, key) if entry.in_lane and key is not None else None,
            entry.order,
            held=entry.held,
            attempts=entry.attempts,
            due_ms=entry.due_ms,
            exhausted=entry.exhausted,
            discarded=entry.discarded,
        )


def waiting_in(world: World, applied: int) -> set[EventId]:
    """Return the events that are held in the failures partition behind what is applied."""
    return {record.event.id for record in world.failures[applied + 1 :] if record.held}
