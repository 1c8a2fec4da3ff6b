"""A producer for what a benchmark publishes itself: in bulk before it, or at a rate beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice

from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordProducer

#: Records and bytes of one call at most.
_CHUNK = 10_000
_CHUNK_BYTES = 16 * 1024 * 1024
_TICK_S = 0.001


@asynccontextmanager
async def publisher(servers: str) -> AsyncIterator[RecordProducer]:
    """Start a producer, and stop it at the end."""
    producer = RecordProducer(KafkaConnection.plaintext(servers), "bench.publisher")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def publish_all(servers: str, records: Iterable[OutRecord], size_bytes: int = 100) -> None:
    """Publish records in bulk, in their order.

    Args:
        servers: ``host:port`` of the brokers.
        records: May be a generator: only a part of them is in memory at a time.
        size_bytes: How large a value is, about.

    """
    remaining = iter(records)
    most = max(1, min(_CHUNK, _CHUNK_BYTES // size_bytes))
    async with publisher(servers) as producer:
        while chunk := list(islice(remaining, most)):
            await producer.send_many(chunk)


async def publish_at_rate(
    producer: RecordProducer,
    per_s: float,
    records_of: Callable[[range], Sequence[OutRecord]],
    count: int | None = None,
) -> None:
    """Publish records evenly over time, a few every millisecond, until all are or it is cancelled.

    Args:
        producer: It is started.
        per_s: Records a second. When Kafka is slower, what is due is sent late, all at once.
        records_of: Makes the records with the given numbers, from 0 on, when they are due.
        count: How many there are; None is no end.

    """
    began, sent = time.monotonic(), 0
    while count is None or sent < count:
        due = int((time.monotonic() - began) * per_s) + 1
        due = due if count is None else min(due, count)
        if due > sent:
            await producer.send_many(records_of(range(sent, due)))
            sent = due
        await asyncio.sleep(_TICK_S)
