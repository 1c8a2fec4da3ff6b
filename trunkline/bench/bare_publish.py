"""The yardstick of publishing: a bare aiokafka producer, ``acks=all`` and idempotent.

Run as a process: ``python -m trunkline.bench.bare_publish JOB``, a JSON object with ``servers``,
``topic``, ``first`` (number of the first event), ``count``, ``size`` (events of one call) and
``kind``: ``bulk`` awaits the acknowledgement of one call after the other, ``single`` has ``size``
tasks, each of which awaits the acknowledgement of one event after the other.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from trunkline.bench.ground import event_value
from trunkline.bench.tally import job, say


async def _bulk(producer: AIOKafkaProducer, given: dict[str, Any]) -> None:
    topic, end, size = given["topic"], given["first"] + given["count"], given["size"]
    for start in range(given["first"], end, size):
        numbers = range(start, min(start + size, end))
        sent = [await producer.send(topic, event_value(n), key=b"%d" % n) for n in numbers]
        await asyncio.gather(*sent)


async def _single(producer: AIOKafkaProducer, given: dict[str, Any]) -> None:
    numbers = iter(range(given["first"], given["first"] + given["count"]))

    async def one_after_the_other() -> None:
        for number in numbers:
            await producer.send_and_wait(given["topic"], event_value(number), key=b"%d" % number)

    await asyncio.gather(*(one_after_the_other() for _ in range(given["size"])))


async def run(given: dict[str, Any]) -> None:
    """Publish all, and say when it began and ended."""
    producer = AIOKafkaProducer(
        bootstrap_servers=given["servers"], acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        await producer.partitions_for(given["topic"])
        say(began_at=time.time())
        await {"bulk": _bulk, "single": _single}[given["kind"]](producer, given)
        say(ended_at=time.time())
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(run(job()))
