"""One life of the worker of the source partition, in the model of lanes: a crash drops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from models.failures import EventId, HeldKey, HeldRange
from tests.support.lanes_world import TOPIC, Event, FailureRecord, World
from trunkline.delivery.holds import Hold, PartitionHolds
from trunkline.delivery.offsets import OffsetTracker


class Write(NamedTuple):
    """What one transaction cannot be divided below: an event with its hold, tombstones."""

    failures: list[FailureRecord]
    held_keys: list[tuple[HeldKey, HeldRange | int | None]]
    done: Callable[[], None]


class Source:
    """Deliver the source partition from what is committed, with the holds that are durable."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tracker = OffsetTracker(world.committed)
        self.queue: list[Event] = []
        self.writes: list[Write] = []
        self.holds = PartitionHolds(TOPIC, 0, ordered=world.rules.ordered)
        self.read = len(world.held_keys)
        live = world.live_held_keys()
        found = [(at, held) for at, held in live.items() if isinstance(held, HeldRange)]
        releases = {at.key: offset for at, offset in live.items() if at.kind == "release"}
        self.holds.restore(
            (at, Hold.of(held, blocks=held.blocks and releases.get(at.key) != held.last))
            for at, held in found
        )
        # An answer to a question that came after its hold was settled: nobody needs it.
        kept = {at.key for at, _ in found}
        self._write_tombstones([_release(key) for key in releases if key not in kept])

    @property
    def is_behind(self) -> bool:
        """Whether it has something to read or to write."""
        return bool(self.writes) or self.read < len(self.world.held_keys)

    def waiting(self) -> set[EventId]:
        """Return the held events whose hand-over is not durable yet."""
        return {r.event.id for write in self.writes for r in write.failures if r.held}

    def deliver(self, count: int) -> None:
        """Fetch the next events."""
        begin = self.tracker.position
        batch = self.world.log[begin : begin + count]
        if not batch:
            return
        self.tracker.deliver([event.offset for event in batch], begin + len(batch))
        if hasattr(self.holds, "deliver"):
            self.holds.deliver(batch)
        self.queue.extend(batch)

    def ready(self) -> list[Event]:
        """Return the events whose turn it is: the first, or the first of each key."""
        if not self.world.rules.by_key:
            return self.queue[:1]
        firsts: dict[bytes, Event] = {}
        for event in self.queue:
            if event.key is not None:
                firsts.setdefault(event.key, event)
        return [event for event in self.queue if event.key is None or firsts[event.key] is event]

    def handle(self, event: Event, waiting: set[EventId], *, twice: bool = False) -> None:
        """Take one event through the chain."""
        self.queue.remove(event)
        verdict = self.holds.verdict(event)
        if verdict == "pass over":
            self.tracker.finish(event.offset)
            return
        outcome = event.fate.of(1)
        if outcome == "invalid" and self.world.rules.decode_first:
            self._hand_over(event, "failed", outcome, waits=False, twice=twice)
        elif verdict == "park":
            self._hand_over(event, "parked", outcome, waits=True, twice=twice)
        elif outcome == "handled":
            self.world.note_handled(event, waiting)
            self.tracker.finish(event.offset)
        else:
            self._hand_over(event, "failed", outcome, waits=outcome == "transient", twice=twice)

    def _hand_over(self, event, kind, outcome, *, waits, twice):
        at, held = self.holds.hand_over(event, waits=waits)
        tracker = self.tracker
        record = FailureRecord(kind, event, held.blocks, outcome, twice=twice)
        self.writes.append(Write([record], [(at, held)], lambda: tracker.finish(event.offset)))

    def write(self, count: int) -> None:
        """Let a transaction become durable: it tells, and only then events are finished."""
        batch, self.writes = self.writes[:count], self.writes[count:]
        for write in batch:
            self.world.failures.extend(write.failures)
            self.world.held_keys.extend(write.held_keys)
            write.done()

    def commit(self) -> None:
        """Commit what is finished."""
        self.world.committed = max(self.world.committed, self.tracker.committable)
        self.tracker.commit_done(self.tracker.committable)

    def clean_up(self) -> None:
        """Forget the holds that are settled."""
        for at in list(self.holds.settled(self.tracker.committed)):
            release = _release(at.key)
            live = release in self.world.live_held_keys()
            self._write_tombstones([at, release] if live else [at])

    def read_held_keys(self, count: int) -> None:
        """Read what others wrote: releases."""
        for at, value in self.world.held_keys[self.read : self.read + count]:
            if at.kind != "release" or value is None:
                continue
            assert isinstance(value, int)
            assert at.key is not None
            if self.holds.knows(at.key):
                self.holds.release(at.key, value)
            else:
                self._write_tombstones([at])
        self.read = min(self.read + count, len(self.world.held_keys))

    def ask(self) -> None:
        """Ask the failures partition whether the keys that wait still have to."""
        for key, last in self.holds.waiting():
            event = next((r.event for r in self.world.failures if r.event.key == key), None)
            if event is not None:
                place = event.id._replace(offset=last)
                record = FailureRecord("ask", event._replace(id=place))
                self.writes.append(Write([record], [], lambda: None))

    def topic_was_made_anew(self) -> None:
        """Go on with the holds as they are in memory, from the new topic's beginning."""
        self.tracker = OffsetTracker(0)
        self.queue.clear()

    def _write_tombstones(self, keys: list[HeldKey]) -> None:
        if keys:
            self.writes.append(Write([], [(key, None) for key in keys], lambda: None))


def _release(key: bytes | None) -> HeldKey:
    return HeldKey("release", TOPIC, 0, key)
