"""The embedded Kafka: starts, keeps its records, survives what kills it."""

from __future__ import annotations

import pytest

from tests.support.kafka import create_topics, produce, read_all

pytestmark = pytest.mark.kafka


async def test_gives_back_what_was_put_in(kafka, namespace):
    """Records come back in order, byte for byte."""
    topic = f"{namespace}.t"
    await create_topics(kafka, {topic: 1})
    await produce(kafka, topic, [(b"k", str(i).encode()) for i in range(5000)])

    assert [r.value for r in await read_all(kafka, topic)] == [str(i).encode() for i in range(5000)]
