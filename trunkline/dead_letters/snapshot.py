"""Read what topics hold at one moment, to its end, as often as is needed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection
from trunkline.delivery.tail_client import end_client, start_client
from trunkline.errors import BrokerError
from trunkline.topics.connecting import check_addresses, quiet_aiokafka, why_no_answer

_ASK_TIMEOUT_S = 10.0
_POLL_MS = 250
#: So many at a time are in memory, beside one fetch per partition.
_BATCH = 500
_FETCH_BYTES = 4 * 1024 * 1024
#: A broker that says nothing for so long is away.
_SILENCE_S = 30.0

#: Topic and partition → offset behind the last record.
Ends = Mapping[tuple[str, int], int]


class Snapshot:
    """All committed records between the beginnings and the ends of topics, as of its opening.

    What comes later is not read. Topics that do not exist are empty.

    Args:
        connection: How to reach Kafka.
        topics: Real names.
        ends: Where to end instead, as an earlier snapshot did.
        client_id: Name for the broker's logs.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[str],
        *,
        ends: Ends | None = None,
        client_id: str = "trunkline-dlq",
    ) -> None:
        self._connection = connection
        self._topics = list(topics)
        self._given_ends = ends
        self._options = {
            **connection.options(),
            "client_id": client_id,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
            "max_partition_fetch_bytes": _FETCH_BYTES,
            "request_timeout_ms": int(_ASK_TIMEOUT_S * 1000),
        }
        self._consumer: Any = None
        self._begins: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        #: Names of the topics that exist.
        self.found: list[str] = []

    async def __aenter__(self) -> Snapshot:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await end_client(self._consumer)

    @property
    def ends(self) -> Ends:
        """Return where it ends."""
        return {(place.topic, place.partition): end for place, end in self._ends.items()}

    @property
    def size(self) -> int:
        """Return how many offsets lie between beginnings and ends: at least as many as records."""
        return sum(max(0, end - self._begins[place]) for place, end in self._ends.items())

    async def batches(self) -> AsyncIterator[list[Any]]:
        """Yield the records from the beginning, each partition's in order.

        Raises:
            BrokerError: Kafka is away, or went away.

        """
        places = [place for place, end in self._ends.items() if end > self._begins[place]]
        if not places:
            return
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, self._begins[place])
        answered_at = time.monotonic()
        while places:
            batches = await self._poll()
            if batches:
                answered_at = time.monotonic()
            yield [
                record
                for place, records in batches.items()
                for record in records
                if record.offset < self._ends[place]
            ]
            places = await self._unfinished(places)
            if places and time.monotonic() - answered_at > _SILENCE_S:
                raise BrokerError(await self._away())

    async def record(self, topic: str, partition: int, offset: int) -> Any | None:
        """Return one record, None when it is not there (any more, or yet)."""
        place = TopicPartition(topic, partition)
        if not self._begins.get(place, 0) <= offset < self._ends.get(place, 0):
            return None
        self._consumer.assign([place])
        self._consumer.seek(place, offset)
        deadline = time.monotonic() + _SILENCE_S
        while time.monotonic() < deadline:
            for records in (await self._poll()).values():
                return records[0] if records[0].offset == offset else None
            if not await self._unfinished([place]):
                return None
        raise BrokerError(await self._away())

    async def stretch(self, topic: str, partition: int, first: int, last: int) -> list[Any]:
        """Return the records whose offsets are in a range, as far as they are there.

        Raises:
            BrokerError: Kafka is away.

        """
        place = TopicPartition(topic, partition)
        first = max(first, self._begins.get(place, 0))
        last = min(last, self._ends.get(place, 0) - 1)
        if first > last:
            return []
        self._consumer.assign([place])
        self._consumer.seek(place, first)
        found: list[Any] = []
        deadline = time.monotonic() + _SILENCE_S
        while time.monotonic() < deadline:
            for records in (await self._poll()).values():
                found += [record for record in records if record.offset <= last]
                if records[-1].offset >= last:
                    return found
            if not await self._unfinished([place]):
                return found
        raise BrokerError(await self._away())

    async def _open(self) -> None:
        check_addresses(self._connection)
        consumer = AIOKafkaConsumer(**self._options)
        try:
            with quiet_aiokafka():
                await start_client(consumer)
                async with asyncio.timeout(_ASK_TIMEOUT_S):
                    await self._find(consumer)
        except (KafkaError, OSError, TimeoutError):
            await end_client(consumer)
            raise BrokerError(await self._away()) from None
        except BaseException:
            await end_client(consumer)
            raise
        self._consumer = consumer

    async def _find(self, consumer: Any) -> None:
        # Asks for all topics: to ask for one by name could create it.
        existing = await consumer.topics()
        self.found = [topic for topic in self._topics if topic in existing]
        places = []
        for topic in self.found:
            await consumer._client.add_topic(topic)
            partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                raise BrokerError(f"Kafka has not told the partitions of {topic} yet: try again.")
            places += [TopicPartition(topic, partition) for partition in sorted(partitions)]
        if places:
            self._begins = await consumer.beginning_offsets(places)
            self._ends = await consumer.end_offsets(places)
        if self._given_ends is not None:
            given = self._given_ends
            self._ends = {p: min(end, given.get((p[0], p[1]), 0)) for p, end in self._ends.items()}

    async def _poll(self) -> dict[Any, list[Any]]:
        try:
            with quiet_aiokafka():
                found: dict[Any, list[Any]] = await self._consumer.getmany(
                    timeout_ms=_POLL_MS, max_records=_BATCH
                )
        except KafkaError as error:
            raise BrokerError(f"Reading {', '.join(self.found)} failed: {error}") from error
        return found

    async def _unfinished(self, places: list[TopicPartition]) -> list[TopicPartition]:
        """Return the partitions that are not at their ends, and fetch no more of the others."""
        left = []
        for place in places:
            position = self._begins[place]
            # It moves behind transaction markers only when it is asked for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_MS / 1000):
                    position = await self._consumer.position(place)
            if position < self._ends[place]:
                left.append(place)
            else:
                self._consumer.pause(place)
        return left

    async def _away(self) -> str:
        return await why_no_answer(self._connection)
