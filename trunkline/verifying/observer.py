"""Kafka's own account, read from outside: committed offsets, and what stands in a topic."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection

_READ_TIMEOUT_MS = 500


class Observer:
    """Reads without being a member of any group; use it with ``async with``.

    All names are real ones, with the namespace.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._admin = AIOKafkaAdminClient(**connection.options())

    async def __aenter__(self) -> Observer:
        await self._admin.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._admin.close()

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the group's committed offset of each partition that has one."""
        found = await self._admin.list_consumer_group_offsets(group)
        return {
            place.partition: at.offset
            for place, at in found.items()
            if place.topic == topic and at.offset >= 0
        }

    async def read_all(self, topic: str) -> list[ConsumerRecord]:
        """Return every committed record that the topic has now."""
        return [record async for batch in self.read(topic) for record in batch]

    async def read(self, topic: str) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield every committed record that the topic has now, some at a time."""
        async with AIOKafkaConsumer(
            topic,
            **self._connection.options(),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        ) as consumer:
            end = await consumer.end_offsets(list(consumer.assignment()))
            # Positions, not records: transaction markers take offsets too.
            while not await _has_reached(consumer, end):
                batches = await consumer.getmany(timeout_ms=_READ_TIMEOUT_MS)
                for batch in batches.values():
                    yield batch

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the end of each partition, transaction markers included."""
        consumer = AIOKafkaConsumer(topic, **self._connection.options())
        try:
            await consumer.start()
            found = await consumer.end_offsets(list(consumer.assignment()))
        finally:
            await consumer.stop()  # also one that did not start: the broker may be away
        return {place.partition: end for place, end in found.items()}

    async def delete_topics(self, topics: Sequence[str]) -> None:
        """Delete topics; Kafka forgets the offsets of them, and then the groups, by itself."""
        with contextlib.suppress(KafkaError):  # a broker that is gone: nothing to tidy up
            await self._admin.delete_topics(list(topics))


async def _has_reached(consumer: AIOKafkaConsumer, end: dict[TopicPartition, int]) -> bool:
    for place, offset in end.items():
        if await consumer.position(place) < offset:
            return False
    return True
