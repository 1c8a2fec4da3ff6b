"""All that is known at the end of a run: topics, journals and databases, as plain values."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.events import NUMBER, POISON
from tests.chaos.fates import POISONED, Fate, Place, fate
from tests.chaos.groups import GROUPS, Group
from tests.chaos.journals import Line, read_journals, shown
from tests.support.committed import read_committed
from tests.support.kafka import read_all
from trunkline.delivery import failure
from trunkline.topology import Topology

Headers = Sequence[tuple[str, bytes | None]]


class Record(NamedTuple):
    """A record as it stands in a topic."""

    place: Place
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def header(self, name: str) -> str:
        """Return a header's last value as text; empty when it is not there."""
        values = [value for header, value in self.headers if header == name]
        return (values[-1] or b"").decode(errors="replace") if values else ""

    @property
    def origin(self) -> Place:
        """For a dead letter: the event that died, by the plain name of its topic."""
        topic = self.place.topic.removeprefix("dlq.")
        offset, partition = self.header(failure.OFFSET), self.header(failure.PARTITION)
        return Place(topic, int(partition or -1), int(offset or -1))


@dataclass
class Rows:
    """What the databases say.

    Attributes:
        registered: The stored registrations: user and email.
        ordered: The orders that were added up.
        totals: User to number and sum of the orders.

    """

    registered: dict[Place, tuple[str, str]] = field(default_factory=dict)
    ordered: set[Place] = field(default_factory=set)
    totals: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Evidence:
    """Everything that the oracle judges.

    Attributes:
        seed: Of the run.
        events: What stands in the source topics, by place.
        acknowledged: Event number to the place that the broker told its publisher.
        lines: Plain group name to its pods' journals, in the order of time.
        letters: Plain group name to its dead letters.
        strays: Dead letters that belong to no group.
        rows: What the databases say.

    """

    seed: int
    events: Mapping[Place, Record]
    acknowledged: Mapping[int, Place]
    lines: Mapping[str, Sequence[Line]]
    letters: Mapping[str, Sequence[Record]]
    strays: Sequence[Record] = ()
    rows: Rows = field(default_factory=Rows)

    @cached_property
    def lines_of(self) -> dict[str, dict[Place, list[Line]]]:
        """Return for each group the lines of each event, in the order of time."""
        found: dict[str, dict[Place, list[Line]]] = {}
        for group, lines in self.lines.items():
            by_place = found[group] = defaultdict(list)
            for line in lines:
                by_place[line.place].append(line)
        return found

    @cached_property
    def _letters_of(self) -> dict[str, dict[Place, list[Record]]]:
        found: dict[str, dict[Place, list[Record]]] = {}
        for group, letters in self.letters.items():
            of_group = found[group] = defaultdict(list)
            for letter in letters:
                of_group[letter.origin].append(letter)
        return found

    @cached_property
    def numbers(self) -> set[int]:
        """Return the numbers of all events that are in the topics."""
        return {int(record.header(NUMBER)) for record in self.events.values()}

    def read_by(self, group: Group) -> dict[Place, Record]:
        """Return the events that a group reads."""
        return {place: e for place, e in self.events.items() if place.topic in group.reads}

    def fate_of(self, group: Group, event: Record) -> Fate:
        """Return how an event must end in a group."""
        if event.header(POISON):
            return POISONED
        return fate(self.seed, group.name, event.place)

    def story(self, group: Group, *places: Place) -> list[str]:
        """Return what the journals and the dead letters say of some events."""
        lines = [line for p in places for line in self.lines_of[group.name].get(p, ())]
        told = [str(line) for line in sorted(lines, key=lambda line: line.at_ns)]
        for place in places:
            if place in self.events:
                event = self.events[place]
                told.append(
                    f"{place} key {shown(event.key)} of {event.timestamp_ms} must be "
                    f"{self.fate_of(group, event)}"
                )
            told += [
                f"dead letter {r.place} of {place}, {r.header(failure.KIND)} after "
                f"{r.header(failure.ATTEMPTS)}: {r.header(failure.MESSAGE)[:80]}"
                for r in self._letters_of[group.name][place]
            ]
        return told


async def read_events(servers: str, topology: Topology) -> dict[Place, Record]:
    """Return what stands in the source topics."""
    topics = dict.fromkeys(topic for group in GROUPS for topic in group.reads)
    return {
        record.place: record
        for topic in topics
        for record in _records(await read_all(servers, topology.real_name(topic)), topology)
    }


async def read_letters(servers: str, topology: Topology) -> list[Record]:
    """Return all dead letters that a committed reader sees."""
    found: list[Record] = []
    for topic in topology.dead_letters_topics():
        found += _records(await read_committed(servers, topic.name, topic.partitions), topology)
    return found


def sort_letters(
    letters: Sequence[Record], topology: Topology
) -> tuple[dict[str, list[Record]], list[Record]]:
    """Return each group's dead letters, and those of no group."""
    by_group: dict[str, list[Record]] = {group.name: [] for group in GROUPS}
    strays = []
    for letter in letters:
        group = topology.plain_name(letter.header(failure.GROUP))
        by_group.get(group, strays).append(letter)
    return by_group, strays


def journals_of(folder: Path) -> dict[str, list[Line]]:
    """Return each group's journals."""
    return {group.name: read_journals(folder, group.name) for group in GROUPS}


def read_rows(folder: Path, topology: Topology) -> Rows:
    """Return what the SQLite files of both groups say."""
    keys, rows = (folder / "data" / f"{group.name}.sqlite" for group in GROUPS)
    place = 'topic, "partition", "offset"'
    registered = _select(rows, f"select {place}, user_id, email from registered_users")
    ordered = _select(keys, f"select {place} from applied_events")
    totals = _select(keys, "select user_id, orders, total_cents from user_totals")
    plain = topology.plain_name
    return Rows(
        {Place(plain(topic), p, o): (user, email) for topic, p, o, user, email in registered},
        {Place(plain(topic), p, o) for topic, p, o in ordered},
        {user: (orders, cents) for user, orders, cents in totals},
    )


def _select(file: Path, query: str) -> list[Any]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _records(records: Sequence[Any], topology: Topology) -> list[Record]:
    return [
        Record(
            Place(topology.plain_name(r.topic), r.partition, r.offset),
            r.timestamp,
            r.key,
            r.value,
            tuple(r.headers),
        )
        for r in records
    ]
