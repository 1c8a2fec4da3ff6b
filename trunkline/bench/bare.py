"""The yardstick: a bare aiokafka ``getmany`` loop with a commit for each batch.

Run as a process: ``python -m trunkline.bench.bare JOB``, JSON as :func:`measure.started` writes it.
With the kind ``decode`` it decodes and validates every event as our workers do; with ``plain`` it
only counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer

from models import UserRegistered
from trunkline.bench.tally import Offsets, Tally, job, say, tally_of
from trunkline.delivery.decode import decoder_for

#: What one ``getmany`` gives: the records of each partition.
Records = dict[Any, Sequence[Any]]


def handling(given: dict[str, Any]) -> tuple[Tally, Callable[[Records], None]]:
    """Return what counts, and what is done with the records of one ``getmany``."""
    return _counting(given) if given["kind"] == "plain" else _decoding(given)


def _counting(given: dict[str, Any]) -> tuple[Tally, Callable[[Records], None]]:
    offsets = Offsets(given["count"], given.get("share"))

    def handle(batches: Records) -> None:
        for records in batches.values():
            first, last = records[0], records[-1]
            offsets.run(first.partition, first.offset, last.offset, len(records))
        offsets.look()

    return offsets, handle


def _decoding(given: dict[str, Any]) -> tuple[Tally, Callable[[Records], None]]:
    tally = tally_of(given)
    decoded = decoder_for(UserRegistered)

    def handle(batches: Records) -> None:
        for records in batches.values():
            for record in records:
                event = decoded(record.value)
                tally.event(event.user_id, event.email)

    return tally, handle


async def run(given: dict[str, Any]) -> None:
    """Read until cancelled."""
    tally, handle = handling(given)
    consumer = AIOKafkaConsumer(
        given["topic"],
        bootstrap_servers=given["servers"],
        group_id=given["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        while True:
            batches = await consumer.getmany(timeout_ms=1000)
            if batches:
                handle(batches)
                await consumer.commit()
    finally:
        await consumer.stop()
        say(**tally.summary())


async def main() -> None:
    """Read until SIGTERM."""
    task = asyncio.create_task(run(job()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    # As our workers: the loop is no part of what is compared.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
