"""What is still to be done, as Kafka says it: lag, failures, waiting events, held keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from models.failures import (
    APPLIED_KEY,
    HeldKey,
    HeldRange,
    decode_held_key,
    decode_held_range,
    decode_offset,
    event_of,
)
from tests.chaos.groups import GROUPS, Group
from tests.support.offsets import committed_offsets, end_offsets
from trunkline.topology import FAILURES_PARTITIONS, Topology


@dataclass
class Backlog:
    """What a group has not done yet.

    Attributes:
        lag: Events that the group has not committed.
        unapplied: Failures partitions with records that the retries table does not know.
        waiting: Events that wait in the retries table.
        held: Keys whose later events are still parked.

    """

    lag: int = 0
    unapplied: list[int] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lag or self.unapplied or self.waiting or self.held)

    def __str__(self) -> str:
        some = ", ".join([*self.waiting[:5], *self.held[:5]])
        return (
            f"lag {self.lag}, failures partitions not applied {self.unapplied}, "
            f"{len(self.waiting)} events wait, {len(self.held)} keys are held: {some}"
        )


class Watch:
    """Follows the failures topics, the retries tables' changelogs and the held keys of all groups.

    It reads on from where it was, so that looking again and again costs little.
    """

    def __init__(self, servers: str, topology: Topology) -> None:
        self._servers = servers
        self._topology = topology
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._waiting: defaultdict[TopicPartition, set[bytes]] = defaultdict(set)
        self._applied: dict[TopicPartition, int] = {}
        self._last: dict[TopicPartition, int] = {}
        self._holds: defaultdict[str, dict[HeldKey, HeldRange]] = defaultdict(dict)
        self._releases: defaultdict[str, dict[HeldKey, int]] = defaultdict(dict)

    async def __aenter__(self) -> Watch:
        await self._consumer.start()
        self._consumer.assign(
            [
                place
                for group in GROUPS
                for place in (*self._failures(group), *self._logs(group), *self._held_keys(group))
            ]
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def backlogs(self) -> dict[str, Backlog]:
        """Return what each group has still to do, by its plain name."""
        lags = {group.name: await self._lag(group) for group in GROUPS}
        at_end = await self._read_on()
        return {
            group.name: Backlog(
                lags[group.name],
                self._unapplied(group, at_end),
                self._in_table(group),
                self._held(group),
            )
            for group in GROUPS
        }

    def _unapplied(self, group: Group, at_end: set[TopicPartition]) -> list[int]:
        return [
            log.partition
            for log, source in zip(self._logs(group), self._failures(group), strict=True)
            if self._last.get(source, -1) > self._applied.get(log, -1)
            or not {log, source} <= at_end
        ]

    def _in_table(self, group: Group) -> list[str]:
        return [
            str(event_of(key)[1]) for log in self._logs(group) for key in sorted(self._waiting[log])
        ]

    def _held(self, group: Group) -> list[str]:
        topic = self._topology.held_keys_topic(group.name).name
        releases = self._releases[topic]
        return [
            f"{at.topic}[{at.partition}] key {at.key!r} up to {held.last}"
            for at, held in self._holds[topic].items()
            if held.blocks and releases.get(at._replace(kind="release")) != held.last
        ]

    async def _lag(self, group: Group) -> int:
        real = self._topology.real_name
        total = 0
        for topic in map(real, group.reads):
            ends = await end_offsets(self._servers, topic)
            committed = await committed_offsets(self._servers, real(group.name), topic)
            total += sum(end - committed.get(partition, 0) for partition, end in ends.items())
        return total

    async def _read_on(self) -> set[TopicPartition]:
        """Read what is new; return the partitions that were read to their end."""
        assigned = sorted(self._consumer.assignment())
        async with AIOKafkaConsumer(bootstrap_servers=self._servers) as plain:
            ends = await plain.end_offsets(assigned)
        for _ in range(200):
            for place, records in (await self._consumer.getmany(timeout_ms=100)).items():
                self._note(place, records)
            at = {place: await self._consumer.position(place) for place in assigned}
            if all(at[place] >= ends[place] for place in assigned):
                break
        return {place for place in assigned if at[place] >= ends[place]}

    def _note(self, place: TopicPartition, records: Sequence[Any]) -> None:
        if place in self._failure_places:
            self._last[place] = records[-1].offset
        elif place.topic.endswith(".held-keys"):
            self._note_held_keys(place.topic, records)
        else:
            self._note_changes(place, records)

    def _note_held_keys(self, topic: str, records: Sequence[Any]) -> None:
        for record in records:
            at = decode_held_key(record.key)
            known: dict[HeldKey, Any] = (self._holds if at.kind == "hold" else self._releases)[
                topic
            ]
            if record.value is None:
                known.pop(at, None)
            else:
                decode = decode_held_range if at.kind == "hold" else decode_offset
                known[at] = decode(record.value)

    def _note_changes(self, place: TopicPartition, records: Sequence[Any]) -> None:
        waiting = self._waiting[place]
        for record in records:
            if record.key == APPLIED_KEY:
                self._applied[place] = decode_offset(record.value)
            elif event_of(record.key)[0]:  # a state without its entry does not wait
                (waiting.discard if record.value is None else waiting.add)(record.key)

    @property
    def _failure_places(self) -> set[TopicPartition]:
        return {place for group in GROUPS for place in self._failures(group)}

    def _failures(self, group: Group) -> list[TopicPartition]:
        return _partitions(self._topology.failures_topic(group.name).name)

    def _logs(self, group: Group) -> list[TopicPartition]:
        return _partitions(self._topology.retries_changelog(group.name).name)

    def _held_keys(self, group: Group) -> list[TopicPartition]:
        return _partitions(self._topology.held_keys_topic(group.name).name)


def _partitions(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(FAILURES_PARTITIONS)]
