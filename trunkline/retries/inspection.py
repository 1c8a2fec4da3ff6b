"""What waits in the retries tables, read from their changelogs in Kafka: no worker is asked.

Only what is committed is read (``read_committed``), up to the end that the changelogs have when the
reading begins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from models.failures import (
    APPLIED_KEY,
    ErrorInfo,
    EventId,
    NewerFormatError,
    RetryEntry,
    RetryState,
    decode_entry,
    decode_state,
    event_of,
)
from trunkline.connection import KafkaConnection
from trunkline.dead_letters.snapshot import Snapshot
from trunkline.errors import TopologyError
from trunkline.topology import Topology

Status = Literal["due", "later", "parked", "exhausted", "discarded"]
#: Told how many records were read, and of how many at most.
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that a group could not handle yet.

    Attributes:
        group: Real name of the group.
        partition: Of its failures topic: where commands for the event go to.
        entry: The event, with its newest state.
        parked: Whether it waits behind an earlier event of its key.

    """

    group: str
    partition: int
    entry: RetryEntry
    parked: bool = False

    @property
    def id(self) -> EventId:
        """Which event."""
        return self.entry.id

    def status(self, now_ms: int) -> Status:
        """Return what it waits for.

        ``due``: an attempt, at once; ``later``: its time; ``parked``: an earlier event of its key;
        ``exhausted``: to become a dead letter; ``discarded``: to be dropped at its turn.
        """
        state = self.entry.state
        if state.discarded:
            return "discarded"
        if self.parked:
            return "parked"
        if state.exhausted:
            return "exhausted"
        return "later" if state.due_at_ms > now_ms else "due"


class Inspection(NamedTuple):
    """What was found.

    Attributes:
        events: What waits: first what is due first, parked ones behind all others.
        missing: Changelogs that do not exist.
        unreadable: How many records are none of the table's, or from a later release.

    """

    events: list[WaitingEvent]
    missing: list[str]
    unreadable: int


async def inspect(
    connection: KafkaConnection,
    topology: Topology,
    groups: Iterable[str],
    on_progress: OnProgress | None = None,
    *,
    details: bool = False,
) -> Inspection:
    """Read what waits in the retries tables of groups.

    Args:
        connection: How to reach Kafka.
        topology: Which topics there are.
        groups: Plain or real names of groups.
        on_progress: Told after each batch.
        details: Keep values, headers and stack traces, which may be a hundred times the rest.

    Raises:
        BrokerError: Kafka is away.
        TopologyError: None of the groups has a changelog.

    """
    groups_of = {
        topology.retries_changelog(group).name: topology.real_name(topology.plain_name(group))
        for group in groups
    }
    tables = Tables(groups_of, details=details)
    read = 0
    async with Snapshot(connection, list(groups_of), client_id="trunkline-retries") as snapshot:
        missing = [topic for topic in groups_of if topic not in snapshot.found]
        if not snapshot.found:
            raise TopologyError(
                f"There is no topic {missing[0]} in this cluster: create it with "
                "'trunkline topics apply', and check TRUNKLINE_NAMESPACE."
            )
        async for records in snapshot.batches():
            for record in records:
                tables.apply(record)
            read += len(records)
            if on_progress is not None:
                on_progress(read, snapshot.size)
    return Inspection(tables.events(), missing, tables.unreadable)


#: Changelog, partition, and the changelog's key without its first letter.
_Place = tuple[str, int, bytes]


class Tables:
    """The retries tables that changelog records add up to.

    Args:
        groups_of: Real name of the changelog → that of its group.
        details: See :func:`inspect`.
        limit: Hold so many events at most; the others are only counted.

    Attributes:
        changes: Grows with every record that changes something.
        left_out: How many events were not held, about.

    """

    def __init__(
        self, groups_of: dict[str, str], *, details: bool = False, limit: int | None = None
    ) -> None:
        self._groups_of = groups_of
        self._details = details
        self._limit = limit
        self.changes = self.left_out = 0
        self._entries: dict[_Place, RetryEntry] = {}
        self._states: dict[_Place, RetryState] = {}
        #: Whole keys.
        self._unreadable: set[_Place] = set()

    @property
    def unreadable(self) -> int:
        """How many keys have a value that is none of the table's, or are none themselves."""
        return len(self._unreadable)

    def __len__(self) -> int:
        """How many events are held."""
        return len(self._entries)

    def apply(self, record: Any) -> None:
        """Apply a record; those of a partition in the order of their offsets."""
        if record.key == APPLIED_KEY:
            return
        self.changes += 1
        key = record.key or b""
        at = (record.topic, record.partition, key)
        self._unreadable.discard(at)
        try:
            is_entry, _ = event_of(key)
            place = (record.topic, record.partition, key[1:])
            if record.value is None:
                self._drop(place, is_entry=is_entry)
            elif is_entry and self._limit == len(self._entries) and place not in self._entries:
                self.left_out += 1
            elif is_entry:
                self._entries[place] = self._read_entry(record.value)
            elif not self.is_left_out(place):
                self._states[place] = self._kept(decode_state(record.value))
        except (msgspec.MsgspecError, NewerFormatError, UnicodeDecodeError, RecursionError):
            self._unreadable.add(at)

    def is_left_out(self, place: _Place) -> bool:
        """Return whether nothing is held of an event, because there are too many."""
        return self.left_out > 0 and place not in self._entries

    def forget(self, changelog: str) -> None:
        """Forget all that a changelog said."""
        self.changes += 1
        for known in (self._entries, self._states):
            for place in [place for place in known if place[0] == changelog]:
                del known[place]
        self._unreadable = {place for place in self._unreadable if place[0] != changelog}

    def events(self) -> list[WaitingEvent]:
        """Return what waits; see :class:`Inspection`."""
        events = []
        for (topic, partition, event), entry in self._entries.items():
            state = self._states.get((topic, partition, event), entry.state)
            newest = msgspec.structs.replace(entry, state=state)
            events.append(WaitingEvent(self._groups_of[topic], partition, newest))
        events = _with_parked(events)
        events.sort(
            key=lambda e: (e.parked, e.entry.state.due_at_ms, e.group, e.partition, e.entry.order)
        )
        return events

    def _drop(self, place: _Place, *, is_entry: bool) -> None:
        self._states.pop(place, None)
        if is_entry and self._entries.pop(place, None) is None:
            self.left_out = max(0, self.left_out - 1)

    def _read_entry(self, raw: bytes) -> RetryEntry:
        entry = decode_entry(raw)
        if self._details:
            return entry
        return msgspec.structs.replace(entry, value=None, headers=(), state=self._kept(entry.state))

    def _kept(self, state: RetryState) -> RetryState:
        if self._details:
            return state
        first = _brief(state.first_error)
        last = first if state.last_error == state.first_error else _brief(state.last_error)
        return msgspec.structs.replace(state, first_error=first, last_error=last)


def _brief(error: ErrorInfo | None) -> ErrorInfo | None:
    if error is None:
        return None
    return msgspec.structs.replace(error, exception=sys.intern(error.exception), stacktrace="")


def _with_parked(events: list[WaitingEvent]) -> list[WaitingEvent]:
    """Mark those behind the head of their key's lane, as the engine builds its lanes."""
    lanes = set()
    marked = []
    for event in sorted(events, key=lambda e: (e.partition, e.entry.order)):
        entry = event.entry
        lane = (event.group, entry.id.topic, entry.id.partition, entry.key)
        waits_in_order = entry.held or not entry.state.attempts
        is_parked = entry.key is not None and waits_in_order and lane in lanes
        # One that is dead at once and holds nobody stands in nobody's way.
        if entry.held or not entry.state.exhausted:
            lanes.add(lane)
        marked.append(replace(event, parked=True) if is_parked else event)
    return marked
