"""Where a group and a topic stand, as the broker says."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.kafka import admin


async def committed_offsets(servers: str, group: str, topic: str) -> dict[int, int]:
    """Return the group's committed offset of each partition of a topic that has one."""
    async with admin(servers) as client:
        found = await client.list_consumer_group_offsets(group)
    return {
        tp.partition: at.offset for tp, at in found.items() if tp.topic == topic and at.offset >= 0
    }


async def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """Return the end of each partition, markers included."""
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        await consumer._client.add_topic(topic)
        partitions = consumer.partitions_for_topic(topic) or set()
        found = await consumer.end_offsets([TopicPartition(topic, p) for p in partitions])
    return {tp.partition: end for tp, end in found.items()}
