"""Read every partition of a topic to its growing end, wherever the broker goes.

Partitions are assigned by hand, and positions are kept here and not in the client: so a client that
stopped getting answers is thrown away and made anew without a record lost or read twice, partitions
that are added are read from their beginning, and no other pod causes a rebalance. (aiokafka would
assign all partitions to a consumer without a group by itself, but starts new ones at their end.)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection
from trunkline.delivery.tail_client import end_client, high_watermarks, position_of, start_client
from trunkline.errors import BrokerError
from trunkline.topics.connecting import quiet_aiokafka

#: A broker answers a fetch within half a second, data or not. A client that had no answer for this
#: long may have lost its brokers' addresses, so it is made anew from the bootstrap servers.
_SILENCE_S = 5.0
_ASK_TIMEOUT_S = 10.0
_ASK_AGAIN_S = 0.05
_RETRY_S = 0.5
_POLL_MS = 250
_POLL_RECORDS = 200
#: Larger than the largest record, lest one of those comes alone.
_FETCH_BYTES = 2 * 1024 * 1024


class TopicTail:
    """Positions in all partitions of a topic, and a client that reads from there.

    Where it starts, for each partition: after the group's last commit; else at the end. What was
    added later, to the topic or as the topic, is read from its beginning.

    Args:
        topic: Real name of the topic.
        connection: How to reach Kafka.
        group: Where commits are kept; without one there are none.
        replay: How many records before the start are read first, per partition.
        client_id: Name for the broker's logs and quotas.
        metadata_max_age_s: How soon new partitions are noticed.
        poll_records: Most records of one poll: few, so that others get their turn between two.

    """

    def __init__(
        self,
        topic: str,
        connection: KafkaConnection,
        *,
        group: str | None = None,
        replay: int = 0,
        client_id: str = "trunkline",
        metadata_max_age_s: float = 30.0,
        poll_records: int = _POLL_RECORDS,
    ) -> None:
        self.topic = topic
        self._poll_records = poll_records
        self.group = group
        self.connection = connection
        #: Partition → offset of the next record to read.
        self.positions: dict[int, int] = {}
        self._replay = replay
        self._options = {
            **connection.options(),
            "client_id": client_id,
            "group_id": group,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            # For positions that the broker no longer has, or has not any more: start anew.
            "auto_offset_reset": "earliest",
            "metadata_max_age_ms": int(metadata_max_age_s * 1000),
            "max_partition_fetch_bytes": _FETCH_BYTES,
            "request_timeout_ms": int(_ASK_TIMEOUT_S * 1000),
        }
        self._consumer: Any = None
        self._was_absent = False
        #: Partition → end of what stood there at the start; what is before it is history.
        self._targets: dict[int, int] = {}
        #: Partition → where live reading began: commits never go behind it.
        self._started_at: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._last_answer: tuple[int, float] = (0, 0.0)

    @property
    def connected(self) -> bool:
        """Whether there is a client that reads."""
        return self._consumer is not None

    @property
    def caught_up(self) -> bool:
        """Whether all that stood in the topic at the start has been read."""
        if not self.positions:
            return False
        return all(self.positions[p] >= end for p, end in self._targets.items())

    def lags(self) -> dict[int, int]:
        """Return how many records of each partition are still to be read, as far as is known."""
        return {p: max(0, self._end(p) - position) for p, position in self.positions.items()}

    async def ends(self) -> dict[int, int]:
        """Ask for the end of each partition: what was committed before now lies before it.

        Raises:
            BrokerError: There is no client at the moment.
            KafkaError: The broker is away.
            TimeoutError: It does not answer.

        """
        consumer = self._consumer
        if consumer is None:
            raise BrokerError(f"{self.topic} is not being read at the moment")
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            return await high_watermarks(consumer, self.topic, self._partitions(consumer))

    def reached(self, partition: int) -> int:
        """Return the offset before which nothing is left to read, transaction markers included.

        What :meth:`poll` has returned counts as read: handle it before anything else may run.
        """
        own = self.positions.get(partition, 0)
        if self._consumer is None:
            return own
        return max(own, position_of(self._consumer, TopicPartition(self.topic, partition)) or 0)

    async def open(self) -> bool:
        """Connect, and find out where to start; False while the topic does not exist.

        Raises:
            KafkaError: The broker is away, or refuses this client.
            TimeoutError: It does not answer.

        """
        consumer = AIOKafkaConsumer(**self._options)
        try:
            with quiet_aiokafka():
                await start_client(consumer)
                async with asyncio.timeout(_ASK_TIMEOUT_S):
                    is_there = await self._find(consumer)
        except BaseException:
            await end_client(consumer)
            raise
        if not is_there:
            self._was_absent = True
            await end_client(consumer)
            return False
        self._last_answer = (0, time.monotonic())
        self._assign(consumer, self._partitions(consumer))
        self._consumer = consumer
        return True

    async def close(self) -> None:
        """Let go of the client, within about a second; the positions stay."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await end_client(consumer)

    async def poll(self) -> list[Any]:
        """Return the next records, none after a quarter of a second without any.

        The caller sets :attr:`positions` behind each record that it is done with. When another task
        closes the client meanwhile there are none either.

        Raises:
            BrokerError: The client had no answer for too long, or there is none; close it and open
                it again.
            KafkaError: The same, with the broker's reason.

        """
        consumer = self._consumer
        if consumer is None:
            raise BrokerError(f"{self.topic} is not being read at the moment")
        self._follow_growth(consumer)
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=self._poll_records)
        if self._consumer is not consumer:
            return []
        if batches:
            self._note_answer(consumer, float("inf"))
            return [record for records in batches.values() for record in records]
        await self._skip_control_records(consumer)
        self._note_answer(consumer, _SILENCE_S)
        return []

    async def commit(self, *, again: bool = False) -> None:
        """Commit what was read; nothing without a group, a client or progress.

        Args:
            again: Commit even without progress: the broker forgets the commits of a group without
                members after ``offsets.retention.minutes`` (7 days).

        Raises:
            KafkaError: The broker refuses.
            TimeoutError: It does not answer.

        """
        consumer = self._consumer
        if self.group is None or consumer is None:
            return
        offsets = {
            p: max(offset, self._started_at.get(p, 0))
            for p, offset in self.positions.items()
            if TopicPartition(self.topic, p) in consumer.assignment()
        }
        if not offsets or (offsets == self._committed and not again):
            return
        with quiet_aiokafka():
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                await consumer.commit(
                    {TopicPartition(self.topic, p): o for p, o in offsets.items()}
                )
        self._committed = offsets

    async def _find(self, consumer: Any) -> bool:
        """Make the client know the topic and, the first time, find out where to start."""
        # Asks for all topics: to ask for one by name could create it.
        if self.topic not in await consumer.topics():
            return False
        await consumer._client.add_topic(self.topic)
        partitions = self._partitions(consumer)
        if not partitions:
            raise BrokerError(f"Kafka has not told the partitions of {self.topic} yet")
        if not self.positions:
            await self._start(consumer, [TopicPartition(self.topic, p) for p in partitions])
        return True

    async def _start(self, consumer: Any, places: list[TopicPartition]) -> None:
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        commits: dict[TopicPartition, int | None] = {}
        if self.group is not None:
            commits = {place: await consumer.committed(place) for place in places}
        is_known = any(commit is not None for commit in commits.values())
        # A group with a commit elsewhere was away while this partition was added.
        default = begins if is_known or self._was_absent else ends
        for place in places:
            commit = commits.get(place)
            start = default[place] if commit is None else commit
            if not begins[place] <= start <= ends[place]:
                start = begins[place]  # the topic was cut, or deleted and made anew
            self._started_at[place.partition] = start
            self._targets[place.partition] = ends[place]
            self.positions[place.partition] = max(begins[place], start - self._replay)

    def _partitions(self, consumer: Any) -> set[int]:
        return set(consumer.partitions_for_topic(self.topic) or ())

    def _follow_growth(self, consumer: Any) -> None:
        found = self._partitions(consumer)
        assigned = {place.partition for place in consumer.assignment()}
        if found and found != assigned:
            self._assign(consumer, found)

    def _assign(self, consumer: Any, partitions: set[int]) -> None:
        """Read these partitions from our positions; nothing awaits in between."""
        places = [TopicPartition(self.topic, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, self.positions.setdefault(place.partition, 0))

    async def _skip_control_records(self, consumer: Any) -> None:
        """Follow the client past what is no record to us: transaction markers, aborted records.

        It also goes back, or on, when the broker no longer has our position.
        """
        for partition, position in self.positions.items():
            place = TopicPartition(self.topic, partition)
            if place not in consumer.assignment() or self._end(partition) == position:
                continue
            with contextlib.suppress(TimeoutError):  # it waits for the broker's earliest offset
                async with asyncio.timeout(_POLL_MS / 1000):
                    at = await consumer.position(place)
                    if self._consumer is not consumer:
                        return
                    self.positions[partition] = at
                    if at < position:
                        self._targets.pop(partition, None)
                        self._started_at.pop(partition, None)

    def _end(self, partition: int) -> int:
        place = TopicPartition(self.topic, partition)
        if self._consumer is None or place not in self._consumer.assignment():
            return self._targets.get(partition, 0)
        return self._consumer.last_stable_offset(place) or self._targets.get(partition, 0)

    def _note_answer(self, consumer: Any, patience_s: float) -> None:
        stamps = (consumer.last_poll_timestamp(p) for p in consumer.assignment())
        stamp = max((stamp or 0 for stamp in stamps), default=0)
        if stamp != self._last_answer[0]:
            self._last_answer = (stamp, time.monotonic())
        elif time.monotonic() - self._last_answer[1] > patience_s:
            raise BrokerError(f"Kafka has not answered for {patience_s:g} s")


async def read_to_end(current: Callable[[], TopicTail]) -> None:
    """Return when all that a topic has now was given out; waits for the broker.

    Args:
        current: Tells by which tail it is read, which may be another one at any moment.

    """
    while True:
        while not current().connected:
            await asyncio.sleep(_ASK_AGAIN_S)
        try:
            ends = await current().ends()
        except (KafkaError, BrokerError, TimeoutError):
            await asyncio.sleep(_RETRY_S)
            continue
        while any(current().reached(p) < end for p, end in ends.items()):
            await asyncio.sleep(_ASK_AGAIN_S)
        return
