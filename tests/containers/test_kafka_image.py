"""The Kafka image by itself: the seed's first rule, with plain clients on the host."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from aiokafka import AIOKafkaConsumer

from tests.containers.kafka import ApacheKafka
from tests.support import eventually
from tests.support.kafka import create_topics, produce

pytestmark = pytest.mark.containers
EVENTS = 300


async def test_every_group_gets_every_event_and_its_members_share_them(
    kafka_container: ApacheKafka, namespace: str
) -> None:
    """Two groups read one topic of a containerised Kafka; the first one's two members divide it."""
    servers, topic = kafka_container.bootstrap_servers, f"{namespace}.events"
    await create_topics(servers, {topic: 4})
    seen: dict[str, Counter[bytes]] = {"two-0": Counter(), "two-1": Counter(), "one-0": Counter()}

    async def read(name: str, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            seen[name][record.value] += 1

    async with AsyncExitStack() as stack:
        members = {
            name: await stack.enter_async_context(
                AIOKafkaConsumer(
                    topic,
                    bootstrap_servers=servers,
                    group_id=f"{namespace}-{name.partition('-')[0]}",
                    auto_offset_reset="earliest",
                )
            )
            for name in seen
        }
        sizes = {"two-0": 2, "two-1": 2, "one-0": 4}
        await eventually(
            lambda: {name: len(c.assignment()) for name, c in members.items()} == sizes,
            timeout_s=30,
            what=f"partitions shared as {sizes}",
        )
        values = [b"%d" % n for n in range(EVENTS)]
        readers = [asyncio.create_task(read(name, c)) for name, c in members.items()]
        await produce(servers, topic, [(value, value) for value in values])
        await eventually(
            lambda: sum(sum(counts.values()) for counts in seen.values()) >= 2 * EVENTS,
            what="both groups to have read everything",
        )
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    expected = Counter(values)
    assert seen["one-0"] == expected
    assert seen["two-0"] + seen["two-1"] == expected
    assert seen["two-0"]
    assert seen["two-1"]
