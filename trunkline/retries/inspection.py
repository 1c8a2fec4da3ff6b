"""What waits in the retries tables, read from their changelogs in Kafka: no worker is asked.

Only what is committed is read (``read_committed``), up to the end that the changelogs have when the
reading begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from models.failures import (
    APPLIED_KEY,
    WIRE_VERSION,
    EventId,
    RetryEntry,
    decode_entry,
    decode_state,
    event_of,
)
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
        unreadable: Records that are none of the table's, or from a later release.

    """

    events: list[WaitingEvent]
    missing: list[str]
    unreadable: int


async def inspect(
    bootstrap_servers: Sequence[str],
    topology: Topology,
    groups: Iterable[str],
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Read what waits in the retries tables of groups.

    Args:
        bootstrap_servers: ``host:port`` of the brokers to ask first.
        topology: Which topics there are.
        groups: Plain or real names of groups.
        on_progress: Told after each batch.

    Raises:
        BrokerError: Kafka is away.
        TopologyError: None of the groups has a changelog.

    """
    groups_of = {
        topology.retries_changelog(group).name: topology.real_name(topology.plain_name(group))
        for group in groups
    }
    tables = Tables(groups_of)
    read = 0
    async with Snapshot(
        bootstrap_servers, list(groups_of), client_id="trunkline-retries"
    ) as snapshot:
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


class Tables:
    """The retries tables that changelog records add up to.

    Args:
        groups_of: Real name of the changelog → that of its group.

    """

    def __init__(self, groups_of: dict[str, str]) -> None:
        self._groups_of = groups_of
        # Values stay as they are: most are replaced or deleted again before the end.
        self._entries: dict[tuple[str, int, EventId], bytes] = {}
        self._states: dict[tuple[str, int, EventId], bytes] = {}
        self.unreadable = 0

    def apply(self, record: Any) -> None:
        """Apply a record; those of a partition in the order of their offsets."""
        if record.key == APPLIED_KEY:
            return
        try:
            is_entry, event = event_of(record.key or b"")
        except msgspec.MsgspecError:
            self.unreadable += 1
            return
        place = (record.topic, record.partition, event)
        kept = self._entries if is_entry else self._states
        if record.value is not None:
            kept[place] = record.value
            return
        kept.pop(place, None)
        if is_entry:
            self._states.pop(place, None)

    def events(self) -> list[WaitingEvent]:
        """Return what waits; see :class:`Inspection`."""
        events = []
        for (topic, partition, event), raw in self._entries.items():
            try:
                entry = self._entry(raw, self._states.get((topic, partition, event)))
            except msgspec.MsgspecError:
                self.unreadable += 1
                continue
            events.append(WaitingEvent(self._groups_of[topic], partition, entry))
        events = _with_parked(events)
        events.sort(
            key=lambda e: (e.parked, e.entry.state.due_at_ms, e.group, e.partition, e.entry.order)
        )
        return events

    @staticmethod
    def _entry(raw: bytes, state: bytes | None) -> RetryEntry:
        entry = decode_entry(raw)
        if entry.version != WIRE_VERSION:
            raise msgspec.ValidationError(f"version {entry.version} of the format is not known")
        if state is None:
            return entry
        return msgspec.structs.replace(entry, state=decode_state(state))


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
