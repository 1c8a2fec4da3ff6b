"""What stands in a topic, counted by its readers' rules (``read_committed``)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from trunkline.errors import TrunklineError

_TIMEOUT_S = 60.0
_USER = re.compile(rb'"userId":"(\d+)"')


class Arrivals:
    """Counts the events of the benchmark that came to a topic since it was last asked."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def new(self) -> tuple[int, int]:
        """Return how many events are new, and of how many different users.

        Raises:
            TrunklineError: They could not be read within a minute.

        """
        users: set[bytes] = set()
        count = 0
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                ends = await self._consumer.end_offsets(self._partitions)
                while await self._is_behind(ends):
                    batches = await self._consumer.getmany(timeout_ms=200)
                    for records in batches.values():
                        count += len(records)
                        users.update(match[1] for r in records if (match := _USER.search(r.value)))
        except TimeoutError:
            raise TrunklineError(
                f"What was published could not be read within {_TIMEOUT_S:g} s: is Kafka up?"
            ) from None
        return count, len(users)

    async def _is_behind(self, ends: dict[TopicPartition, int]) -> bool:
        for partition, end in ends.items():
            if await self._consumer.position(partition) < end:
                return True
        return False


@asynccontextmanager
async def arrivals(servers: str, topic: str, partitions: int) -> AsyncIterator[Arrivals]:
    """Count what comes to a topic from now on, without a group.

    Args:
        servers: ``host:port`` of the brokers.
        topic: Real name.
        partitions: How many it has.

    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        await consumer.seek_to_end(*assigned)
        for partition in assigned:
            await consumer.position(partition)
        yield Arrivals(consumer, assigned)
    finally:
        await consumer.stop()
