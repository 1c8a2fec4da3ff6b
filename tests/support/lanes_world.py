"""What survives every crash in the model of lanes, and the oracle that watches over it.

One source partition, one failures partition, the held-keys topic and the dead letters, as plain
lists. The workers (lanes_source.py, lanes_engine.py) keep everything else, and lose it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from models.failures import EventId, HeldKey, HeldRange

TOPIC = "t"
MAX_ATTEMPTS = 4

Outcome = Literal["handled", "transient", "permanent", "invalid"]


class Fate(NamedTuple):
    """What every attempt at an event comes to: fixed, so that a repeated attempt ends the same."""

    failures: int = 0
    then: Outcome = "handled"
    # Of the attempts after a redrive, which start anew.
    redriven_failures: int = 0

    def of(self, attempt: int, redrives: int = 0) -> Outcome:
        """Return how an attempt (the first is 1) ends."""
        if self.then == "invalid":
            return "invalid"
        failures = self.redriven_failures if redrives else self.failures
        return "transient" if attempt <= failures else "handled" if redrives else self.then

    @property
    def attempts_until_dead(self) -> int | None:
        """After how many attempts it is a dead letter, None when it is handled before."""
        if self.then == "invalid":
            return 1
        if self.failures >= MAX_ATTEMPTS:
            return MAX_ATTEMPTS
        return self.failures + 1 if self.then == "permanent" else None


class Event(NamedTuple):
    """An event of the source partition."""

    id: EventId
    key: bytes | None
    fate: Fate

    @property
    def offset(self) -> int:
        return self.id.offset

    @property
    def timestamp(self) -> int:
        return self.id.timestamp_ms


class FailureRecord(NamedTuple):
    """A record of the failures partition: an event that was handed over, or a command."""

    kind: Literal["failed", "parked", "redriven", "now", "discard", "ask"]
    event: Event
    held: bool = False
    outcome: Outcome = "transient"
    redrives: int = 0
    twice: bool = False

    @property
    def is_event(self) -> bool:
        return self.kind in ("failed", "parked", "redriven")


class Dead(NamedTuple):
    """A dead letter."""

    event: Event
    attempts: int
    redrives: int


@dataclass
class Entry:
    """A waiting event in the durable table."""

    event: Event
    order: int
    held: bool
    in_lane: bool
    redrives: int = 0
    attempts: int = 0
    due_ms: int = 0
    exhausted: bool = False
    discarded: bool = False


@dataclass
class Rules:
    """What the setting of one run is."""

    ordered: bool = True
    by_key: bool = False
    follow: bool = False
    # Whether an undecodable event of a key that waits goes past it, or is parked like any other.
    decode_first: bool = False
    # Whether an event that is dead already stands in its key's lane.
    dead_in_lane: bool = False


@dataclass
class World:
    """All that is durable, and what really happened."""

    rules: Rules
    now_ms: int = 1_000_000
    log: list[Event] = field(default_factory=list)
    committed: int = 0
    failures: list[FailureRecord] = field(default_factory=list)
    held_keys: list[tuple[HeldKey, HeldRange | int | None]] = field(default_factory=list)
    table: dict[EventId, Entry] = field(default_factory=dict)
    applied: int = -1
    dead: list[Dead] = field(default_factory=list)
    redriven: list[Dead] = field(default_factory=list)

    # The oracle's own notes.
    clock: int = 0
    begins_ms: int = 0  # timestamps of the topic as it is now begin here
    last_ms: int = 0
    # How long the topic was before it was made anew. From then on order is not checked: a release
    # names an offset, and that may be an old event's, or a new one's of the same key.
    longest: int = 0
    handled: defaultdict[EventId, list[int]] = field(default_factory=lambda: defaultdict(list))
    discarded: Counter[EventId] = field(default_factory=Counter)
    commanded: set[EventId] = field(default_factory=set)

    def publish(self, key: bytes | None, late_ms: int, fate: Fate) -> None:
        """Append an event; several publishers' clocks differ, so timestamps go back as well."""
        timestamp = self.begins_ms + late_ms
        self.last_ms = max(self.last_ms, timestamp)
        self.log.append(Event(EventId(TOPIC, 0, len(self.log), timestamp), key, fate))

    def make_anew(self) -> None:
        """Delete the source topic and make it again: offsets start at 0, later."""
        self.longest = max(self.longest, len(self.log))
        self.log.clear()
        self.committed = 0
        self.begins_ms = self.last_ms + 1

    @property
    def keeps_order(self) -> bool:
        """Whether a key's events are handled in the order of their offsets."""
        return self.rules.ordered and not self.longest

    def grow(self) -> None:
        """Let a topic that was made anew become as long as it was, so that all holds settle."""
        while len(self.log) < self.longest:
            self.publish(None, 0, Fate())

    def note_handled(self, event: Event, waiting: set[EventId]) -> None:
        """Note a successful handling; nothing of the key that is older may wait then."""
        self.clock += 1
        self.handled[event.id].append(self.clock)
        if not self.keeps_order or event.key is None or self.was_redriven(event.id):
            return
        earlier = [
            other
            for other in self.log[: event.offset]
            if other.key == event.key and other.id in waiting and not self.was_redriven(other.id)
        ]
        if event in self.log[event.offset : event.offset + 1]:
            assert not earlier, f"{event} was handled while {earlier} waited"

    def redrivable(self) -> list[Dead]:
        """Return the dead letters that were not redriven yet."""
        return [letter for letter in self.dead if letter not in self.redriven]

    def redrive(self, letter: Dead) -> None:
        """Send a dead letter back to the failures partition."""
        self.redriven.append(letter)
        record = FailureRecord("redriven", letter.event, redrives=letter.redrives + 1)
        self.failures.append(record)

    @property
    def size(self) -> tuple[int, ...]:
        """Grows with everything that becomes durable."""
        return self.committed, len(self.failures), len(self.held_keys), self.applied

    def was_redriven(self, event: EventId) -> bool:
        return any(letter.event.id == event for letter in self.redriven)

    def live_held_keys(self) -> dict[HeldKey, HeldRange | int]:
        """Return what compaction leaves of the held-keys topic."""
        return {key: value for key, value in dict(self.held_keys).items() if value is not None}

    def check_ends(self) -> None:
        """Check that every event came to exactly one end, the one that its fate says."""
        known = {record.event.id: record.event for record in self.failures if record.is_event}
        known |= {event.id: event for event in self.log}
        for event in known.values():
            if not self.was_redriven(event.id):
                self._check_end(event)
            elif event.fate.then != "invalid":
                self._check_redriven_end(event)
        self._check_attempts()
        if self.keeps_order:
            self._check_order()

    def _check_end(self, event: Event) -> None:
        dead = [letter for letter in self.dead if letter.event == event]
        handled, discarded = self.handled[event.id], self.discarded[event.id]
        assert len(dead) + discarded <= 1, f"{event} ended more than once"
        assert dead or discarded or handled, f"{event} is lost"
        if event.id in self.commanded:
            return
        if event.fate.attempts_until_dead is not None:
            assert dead, f"{event} was handled, or discarded, and nobody wanted that"
            assert not handled, f"{event} was handled, and is a dead letter"
        elif not self.rules.follow:
            assert handled, f"{event} became a dead letter, though it can be handled"
            assert not dead, f"{event} was handled, and is a dead letter"

    def _check_redriven_end(self, event: Event) -> None:
        dead = sum(letter.event == event for letter in self.dead)
        redrives = sum(letter.event == event for letter in self.redriven)
        gone = dead + self.discarded[event.id]
        assert redrives <= gone <= redrives + 1, (
            f"{event}: {dead} dead letters, {redrives} redrives"
        )
        assert gone == redrives + 1 or self.handled[event.id], f"{event} is lost"

    def _check_attempts(self) -> None:
        for letter in self.dead:
            event = letter.event
            if event.id in self.commanded:
                continue
            if self.rules.follow:
                assert letter.attempts <= MAX_ATTEMPTS, letter
            elif not letter.redrives:
                assert letter.attempts == event.fate.attempts_until_dead, letter
            elif event.fate.then != "invalid":
                assert letter.attempts == MAX_ATTEMPTS, letter

    def _check_order(self) -> None:
        last: dict[bytes, tuple[int, Event]] = {}
        # One that was handled, not durably, and then discarded or buried is handled no more.
        ended_otherwise = self.discarded.keys() | {letter.event.id for letter in self.dead}
        for event in self.log:
            at = self.handled[event.id]
            if event.key is None or not at or event.id in ended_otherwise:
                continue
            before = last.get(event.key)
            assert before is None or before[0] < at[-1], f"{event} was handled before {before}"
            last[event.key] = at[-1], event


#: Stands in commands that name an event which nobody knows.
NOBODY = Event(EventId(TOPIC, 0, 10**6, 0), None, Fate())
