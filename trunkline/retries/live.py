"""What waits in all retries tables at this moment, kept by following their changelogs.

To inspect them anew for each look costs a second with 10,000 waiting events, and reads all their
payloads; this holds what is small, and fetches one event's payload when it is asked for.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from models.failures import EventId, entry_key, event_of
from trunkline.dead_letters.snapshot import Snapshot
from trunkline.delivery.follower import FROM_THE_BEGINNING, TopicFollower
from trunkline.delivery.tail import TopicTail
from trunkline.retries.inspection import Tables, WaitingEvent
from trunkline.settings import Settings
from trunkline.topology import Topology

#: So many waiting events are held at most, about 1.7 kB each; the others are counted.
LIMIT = 100_000
#: A list that took so long to be made stays for this many times as long.
_DEAR_S, _REST = 0.2, 5
_POLL_RECORDS = 1_000


class LaneHead(NamedTuple):
    """A key whose events wait in order.

    Attributes:
        head: The event that is tried.
        parked: How many wait behind it.
        since_ms: When the head failed first; None when that is not known.

    """

    head: WaitingEvent
    parked: int
    since_ms: int | None


class LiveTables(Tables):
    """Tables that know where in the changelog an event stands."""

    def __init__(self, groups_of: dict[str, str], limit: int) -> None:
        super().__init__(groups_of, limit=limit)
        #: Changelog and event → partition, and the offsets of its entry and its newest state.
        self._stands: dict[tuple[str, bytes], tuple[int, int, int]] = {}
        self._known: tuple[int, list[WaitingEvent]] = (-1, [])
        self._made_at_s = self._cost_s = 0.0

    def apply(self, record: Any) -> None:
        """Apply a record, and note where it stands."""
        super().apply(record)
        key = record.key or b""
        try:
            is_entry, _ = event_of(key)
        except msgspec.MsgspecError:
            return
        place = (record.topic, key[1:])
        if self.is_left_out((record.topic, record.partition, key[1:])):
            self._stands.pop(place, None)
            return
        _, entry, _ = self._stands.get(place, (0, -1, -1))
        if record.value is not None:
            at = (record.offset, -1) if is_entry else (entry, record.offset)
            self._stands[place] = (record.partition, *at)
        elif is_entry:
            self._stands.pop(place, None)
        elif place in self._stands:
            self._stands[place] = (record.partition, entry, -1)

    def forget(self, changelog: str) -> None:
        """Forget all that a changelog said."""
        super().forget(changelog)
        for place in [place for place in self._stands if place[0] == changelog]:
            del self._stands[place]

    def events(self) -> list[WaitingEvent]:
        """Return what waits; made anew only after something has changed.

        Where that takes long (0.7 s for 100,000 events), it is made less often: looking at it must
        not be all that the process does.
        """
        is_dear = self._cost_s > _DEAR_S
        is_young = time.monotonic() - self._made_at_s < _REST * self._cost_s
        if self._known[0] != self.changes and not (is_dear and is_young):
            began_s = time.monotonic()
            self._known = (self.changes, super().events())
            self._made_at_s = time.monotonic()
            self._cost_s = self._made_at_s - began_s
        return self._known[1]

    def stands(self, changelog: str, event: EventId) -> tuple[int, int, int] | None:
        """Return partition, and the offsets of an event's entry and newest state (-1: none)."""
        return self._stands.get((changelog, entry_key(event)[1:]))


class LiveRetries:
    """The waiting events of all groups, as of a moment ago.

    Args:
        settings: How Kafka is reached.
        topology: Which groups there are.
        limit: See :data:`LIMIT`.

    """

    def __init__(self, settings: Settings, topology: Topology, limit: int = LIMIT) -> None:
        self._settings = settings
        self._limit = limit
        groups = [service.group for service in topology.services if service.group]
        self._changelog_of = {
            topology.real_name(group): topology.retries_changelog(group).name for group in groups
        }
        self._tables = LiveTables({c: g for g, c in self._changelog_of.items()}, limit)
        self._followers = [
            TopicFollower(
                self._tail_of(topic), self._take, functools.partial(self._tables.forget, topic)
            )
            for topic in self._changelog_of.values()
        ]

    async def start(self) -> None:
        """Begin to read; does not wait for Kafka."""
        for follower in self._followers:
            await follower.start()

    async def stop(self) -> None:
        """Stop reading."""
        await asyncio.gather(*(follower.stop() for follower in self._followers))

    @property
    def ready(self) -> bool:
        """Whether all that waited at the start is known."""
        return all(follower.ready for follower in self._followers)

    @property
    def connected(self) -> bool:
        """Whether changes are being read; what was known before stays when they are not."""
        return all(follower.connected for follower in self._followers)

    @property
    def left_out(self) -> int:
        """About how many events wait that are not shown, because there are too many."""
        return self._tables.left_out

    def events(self) -> list[WaitingEvent]:
        """Return what waits: first what is due first, parked ones behind all others."""
        return self._tables.events()

    def lanes(self) -> list[LaneHead]:
        """Return the keys that wait, those with the most parked events first."""
        return lanes_of(self.events())

    def find(self, group: str, event: tuple[str, int, int]) -> WaitingEvent | None:
        """Return a waiting event by its group (real name), topic, partition and offset."""
        return next((e for e in self.events() if e.group == group and e.id[:3] == event), None)

    async def details(self, event: WaitingEvent) -> WaitingEvent | None:
        """Return an event with its payload, headers and stack traces; None when it is through.

        Raises:
            BrokerError: Kafka is away.

        """
        changelog = self._changelog_of[event.group]
        stands = self._tables.stands(changelog, event.id)
        if stands is None:
            return None
        partition, *offsets = stands
        whole = Tables({changelog: event.group}, details=True)
        async with Snapshot(
            self._settings.connection, [changelog], client_id="trunkline-console"
        ) as snapshot:
            for offset in offsets:
                record = await snapshot.record(changelog, partition, offset)
                if record is not None:
                    whole.apply(record)
        found = [each for each in whole.events() if each.id == event.id]
        return WaitingEvent(event.group, partition, found[0].entry, event.parked) if found else None

    def _take(self, record: Any) -> None:
        self._tables.apply(record)
        if self._tables.left_out and len(self._tables) < self._limit // 2:
            # There is room again for those that were only counted.
            self._tables.left_out = 0
            for follower in self._followers:
                follower.reread()

    def _tail_of(self, topic: str) -> Callable[[], TopicTail]:
        return lambda: TopicTail(
            topic,
            self._settings.connection,
            replay=FROM_THE_BEGINNING,
            client_id=f"{self._settings.pod_name}.retries",
            metadata_max_age_s=self._settings.metadata_max_age_s,
            poll_records=_POLL_RECORDS,
        )


def lanes_of(events: Sequence[WaitingEvent]) -> list[LaneHead]:
    """Return the keys that have parked events, with their heads; most parked first."""
    heads: dict[tuple[str, str, int, bytes | None], WaitingEvent] = {}
    parked: dict[tuple[str, str, int, bytes | None], int] = {}
    for event in sorted(events, key=lambda e: (e.parked, e.entry.order)):
        lane = (event.group, event.id.topic, event.id.partition, event.entry.key)
        if event.parked:
            parked[lane] = parked.get(lane, 0) + 1
        elif event.entry.held or lane not in heads:
            heads[lane] = event
    found = [
        LaneHead(heads[lane], count, _first_failed(heads[lane]))
        for lane, count in parked.items()
        if lane in heads
    ]
    return sorted(found, key=lambda lane: (-lane.parked, lane.since_ms or 0, str(lane.head.id)))


def _first_failed(event: WaitingEvent) -> int | None:
    error = event.entry.state.first_error
    return None if error is None else error.at_ms
