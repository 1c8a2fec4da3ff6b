"""The yardstick: a bare aiokafka ``getmany`` loop with a commit for each batch.

Run as a process: ``python -m trunkline.bench.bare SERVERS TOPIC GROUP COUNT [decode]``. With
``decode`` it decodes and validates every event as our workers do; without, it only counts.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter

from aiokafka import AIOKafkaConsumer

from models import UserRegistered
from trunkline.bench.measure import report
from trunkline.delivery.decode import decoder_for


async def run(servers: str, topic: str, group: str, count: int, *, decode: bool) -> None:
    """Read ``count`` events, and print what it took as one line of JSON."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    decoded = decoder_for(UserRegistered)
    handled, began = 0, 0.0
    try:
        while handled < count:
            batches = await consumer.getmany(timeout_ms=1000)
            began = began or perf_counter()
            for records in batches.values():
                if decode:
                    for record in records:
                        decoded(record.value)
                handled += len(records)
            if batches:
                await consumer.commit()
        report(handled, perf_counter() - began)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    _, servers_, topic_, group_, count_, *rest = sys.argv
    asyncio.run(run(servers_, topic_, group_, int(count_), decode="decode" in rest))
