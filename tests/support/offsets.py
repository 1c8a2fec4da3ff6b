"""Where a group and a topic stand, as the broker says."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.support.kafka import admin
from tests.support.waiting import eventually


async def committed_offsets(servers: str, group: str, topic: str) -> dict[int, int]:
    """Return the group's committed offset of each partition of a topic that has one."""
    async with admin(servers) as client:
        return await _committed(client, group, topic)


async def wait_all_committed(servers: str, group: str, topic: str, timeout_s: float = 20) -> None:
    """Wait until the group has committed everything that stands in the topic, also what comes."""
    ends: dict[int, int] = {}
    last: dict[int, int] = {}

    async with admin(servers) as client, AIOKafkaConsumer(bootstrap_servers=servers) as consumer:

        async def all_committed() -> bool:
            last.update(await _committed(client, group, topic))
            ends.update((p, end) for p, end in (await _ends(consumer, topic)).items() if end)
            return {p: offset for p, offset in last.items() if offset} == ends

        try:
            await eventually(all_committed, timeout_s)
        except AssertionError:
            raise AssertionError(
                f"{group} had not committed all of {topic} in {timeout_s:g} s: it has {last}, and "
                f"the ends are {ends}"
            ) from None


async def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """Return the end of each partition, markers included."""
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        return await _ends(consumer, topic)


async def _ends(consumer: AIOKafkaConsumer, topic: str) -> dict[int, int]:
    await consumer._client.add_topic(topic)
    partitions = consumer.partitions_for_topic(topic) or set()
    found = await consumer.end_offsets([TopicPartition(topic, p) for p in partitions])
    return {tp.partition: end for tp, end in found.items()}


async def _committed(client, group, topic) -> dict[int, int]:
    try:
        found = await client.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:  # nobody has used groups on this broker yet
        return {}
    return {
        tp.partition: at.offset for tp, at in found.items() if tp.topic == topic and at.offset >= 0
    }
