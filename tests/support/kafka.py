"""Put records into the Kafka under test, and get them out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from tests.support.waiting import eventually

_UNACKNOWLEDGED = 2000


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a connected admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create_topics(bootstrap: str, partitions: Mapping[str, int]) -> None:
    """Make topics, and wait until each partition has a leader.

    Args:
        bootstrap: Where Kafka is.
        partitions: Topic name to its number of partitions.

    """
    async with admin(bootstrap) as client:
        nodes = len((await client.describe_cluster())["brokers"])
        factor = 3 if nodes >= 3 else 1
        new = [NewTopic(name, count, factor) for name, count in partitions.items()]
        response = await client.create_topics(new)
        for name, code, message, *_ in response.topic_errors:
            if code:
                raise for_code(code)(f"{name}: {message}")

        async def led() -> bool:
            topics = await client.describe_topics(list(partitions))
            found = {
                topic["topic"]: [p["leader"] >= 0 for p in topic["partitions"]] for topic in topics
            }
            return all(found.get(name) == [True] * count for name, count in partitions.items())

        await eventually(led, what=f"leaders of {sorted(partitions)}")


async def produce(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> None:
    """Send (key, value) pairs in their order, and return when all are acknowledged (acks=all)."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=2_000_000,
    ) as producer:
        waiting = []
        for key, value in records:
            waiting.append(await producer.send(topic, key=key, value=value))
            if len(waiting) >= _UNACKNOWLEDGED:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)


async def read_all(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Return every committed record of the topic, partition by partition, in offset order."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        partitions = sorted(consumer.assignment())
        end = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord]] = {p: [] for p in partitions}

        async def done() -> bool:
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                found[partition] += [r for r in records if r.offset < end[partition]]
            at = {p: await consumer.position(p) for p in partitions}
            return all(at[p] >= end[p] for p in partitions)

        await eventually(done, timeout_s=60, what=f"all records of {topic}")
        return [record for p in partitions for record in found[p]]
