"""The yardstick of publishing: a bare aiokafka producer, ``acks=all`` and idempotent.

Run as a process: ``python -m trunkline.bench.bare_publish JOB``, a JSON object with ``servers``,
``topic``, ``first`` (number of the first event), ``count``, ``size`` (events of one call) and
``at_once``: so many tasks await the acknowledgement of one call after the other.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer

from trunkline.bench.ground import event_value
from trunkline.bench.tally import job, say


async def _publish(producer: AIOKafkaProducer, given: dict[str, Any]) -> None:
    topic, end, size = given["topic"], given["first"] + given["count"], given["size"]
    starts = iter(range(given["first"], end, size))

    async def one_after_the_other() -> None:
        for start in starts:
            numbers = range(start, min(start + size, end))
            sent = [await producer.send(topic, event_value(n), key=b"%d" % n) for n in numbers]
            await asyncio.gather(*sent)

    await asyncio.gather(*(one_after_the_other() for _ in range(given["at_once"])))


async def run(given: dict[str, Any]) -> None:
    """Publish all, and say when it began and ended."""
    producer = AIOKafkaProducer(
        bootstrap_servers=given["servers"], acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        await producer.partitions_for(given["topic"])
        say(began_at=time.time())
        await _publish(producer, given)
        say(ended_at=time.time())
    finally:
        await producer.stop()


if __name__ == "__main__":
    # As our workers: the loop is no part of what is compared.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(job()))
