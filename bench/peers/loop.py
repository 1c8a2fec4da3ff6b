"""A hand-made aiokafka loop with retries and dead letters: getmany, counts in memory.

python loop.py '{"servers", "topic", "dead_letters", "group", "count", "good"}'

As aiokafka's documentation has it: offsets committed by hand after each batch, dead letters with
``send_and_wait``. What a kill costs: the counts, and the batch that it was in (up to a fetch of
each partition) is done again, dead letters included. While an event is retried, everything behind
it waits.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

MAX_RETRIES = 3


def say(**line: float) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Loop:
    def __init__(self, job: dict) -> None:
        self.job = job
        self.seen = bytearray(job["count"])
        self.handled = self.distinct = self.attempts = self.delivered = 0
        self.failed: dict[tuple[str, int, int], int] = {}
        self.consumer = AIOKafkaConsumer(
            job["topic"],
            bootstrap_servers=job["servers"],
            group_id=job["group"],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self.producer = AIOKafkaProducer(bootstrap_servers=job["servers"], acks="all")

    async def handle(self, value: bytes) -> None:
        email = json.loads(value)["email"]
        if email.endswith("@fails.example.com"):
            self.attempts += 1
            raise ValueError("Processing failed")
        number = int(email[4 : email.index("@")])
        self.handled += 1
        if not self.seen[number]:
            self.seen[number] = 1
            self.distinct += 1
            if self.distinct == self.job["good"]:
                say(good_at=time.time())

    async def take(self, record) -> None:
        place = (record.topic, record.partition, record.offset)
        while True:
            try:
                await self.handle(record.value)
            except Exception:
                self.failed[place] = self.failed.get(place, 0) + 1
                if self.failed[place] <= MAX_RETRIES:
                    continue
                await self.producer.send_and_wait(
                    self.job["dead_letters"], record.value, key=record.key
                )
            self.failed.pop(place, None)
            return

    async def run(self) -> None:
        await self.producer.start()
        await self.consumer.start()
        try:
            while True:
                batches = await self.consumer.getmany(timeout_ms=1000)
                if batches and not self.delivered:
                    say(began_at=time.time())
                for records in batches.values():
                    for record in records:
                        await self.take(record)
                    self.delivered += len(records)
                if batches:
                    await self.consumer.commit()
                    if self.delivered >= self.job["count"]:
                        say(through_at=time.time())
        finally:
            await self.consumer.stop()
            await self.producer.stop()


async def main() -> None:
    loop = Loop(json.loads(sys.argv[1]))
    task = asyncio.create_task(loop.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    used = resource.getrusage(resource.RUSAGE_SELF)
    say(
        handled=loop.handled,
        distinct=loop.distinct,
        attempts=loop.attempts,
        cpu_s=round(used.ru_utime + used.ru_stime, 3),
        rss_mb=round(used.ru_maxrss / 1024, 1),
    )


asyncio.run(main())
