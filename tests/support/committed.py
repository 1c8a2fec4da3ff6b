"""Read what a committed reader sees: no record of an open or rolled-back transaction."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.support.waiting import eventually


async def read_committed(bootstrap: str, topic: str, partitions: int) -> list[ConsumerRecord]:
    """Return every committed record, partition by partition, once no transaction is open."""
    assigned = [TopicPartition(topic, number) for number in range(partitions)]
    async with (
        AIOKafkaConsumer(bootstrap_servers=bootstrap) as plain,
        AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        ) as consumer,
    ):
        end = await plain.end_offsets(assigned)
        consumer.assign(assigned)
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in assigned}

        async def done() -> bool:
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found[place] += records
            return all([await consumer.position(place) >= end[place] for place in assigned])

        await eventually(done, timeout_s=60, what=f"the committed end of {topic}")
    return [record for place in assigned for record in found[place]]
