"""Several workers on four partitions, against as many bare loops (issue 5, row 2)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from trunkline.bench.assignment import until_assigned
from trunkline.bench.contestant import Contestant
from trunkline.bench.gate import HeldEvents
from trunkline.bench.ground import Ground
from trunkline.bench.measure import Reader, new_group, started
from trunkline.bench.readers import bare, bare_decoding, ours_batch, ours_one
from trunkline.bench.rounds import Entry, Result, Row, interleaved
from trunkline.errors import ConfigurationError

PARTITIONS = 4
_TIMEOUT_S = 120.0
#: Kafka calls a group stable before its members have fetched their offsets.
_REST_S = 1.0


async def scaling(
    servers: str,
    count: int,
    rounds: int,
    workers: Sequence[int],
    progress: Callable[[str], None],
) -> list[Row]:
    """Measure so many workers, and so many bare loops, that share a group.

    All of them are started and have their partitions before there is an event; the clock runs from
    the first event at any of them to the last at any.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events, as many on each partition.
        rounds: How often each contestant runs.
        workers: How many at a time; 1, 2 or 4 of them share four partitions evenly.
        progress: Told what is going on.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`, with ``workers`` and ``scale`` (speed
        against the same contestant's first row); ratios are against as many bare loops.

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.
        ConfigurationError: Some would have more partitions than others.

    """
    if any(PARTITIONS % number for number in workers) or count % PARTITIONS:
        raise ConfigurationError(
            f"Use 1, 2 or 4 workers, and a count that {PARTITIONS} divides: each worker is to have "
            "the same share."
        )
    readers = [bare(), bare_decoding(), ours_one(), ours_batch()]
    entries = [
        Entry(
            _name(reader, number),
            partial(_run, servers, reader, number, count),
            reader.ours,
            against=_name(readers[0], number),
            labels={"workers": number},
        )
        for number in workers
        for reader in readers
    ]
    rows = await interleaved(entries, rounds, progress)
    for index, row in enumerate(rows):
        alone = rows[index % len(readers)]["events_per_s"]
        row["scale"] = round(row["events_per_s"] / alone, 3) if alone else None
    return rows


def _name(reader: Reader, number: int) -> str:
    return f"{reader.name}, {number} of them"


async def _run(servers: str, reader: Reader, number: int, count: int) -> Result:
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(Ground(servers, PARTITIONS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        plain_group = await new_group(ground, reader)
        held = await stack.enter_async_context(HeldEvents(ground, count))
        job = {"count": count, "share": count // number}
        readers = [
            await stack.enter_async_context(
                started(ground, reader, plain_group, folder / str(index), job)
            )
            for index in range(number)
        ]
        shares = [PARTITIONS // number] * number
        group = f"{ground.namespace}.{plain_group}"
        await until_assigned(servers, group, ground.topic, shares, readers)
        await asyncio.sleep(_REST_S)
        await held.show()
        for one in readers:
            await one.hears("ended_at", _TIMEOUT_S)
        for one in readers:
            await one.end()
        return _together(readers, count)


def _together(readers: Sequence[Contestant], count: int) -> Result:
    """Return what several readers of one group came to."""
    said = [reader.said for reader in readers]
    ended = [one["ended_at"] for one in said if "ended_at" in one]
    seconds = None
    if len(ended) == len(said):
        seconds = max(1e-6, max(ended) - min(one["began_at"] for one in said))
    first = min(said, key=lambda one: one.get("began_at", 0))
    distinct = sum(one.get("distinct", 0) for one in said)
    return Result(
        events=count,
        seconds=seconds,
        cpu_s=sum(reader.cpu_s for reader in readers),
        rss_mb=sum(reader.peak_mb for reader in readers),
        lost=count - distinct,
        repeated=sum(one.get("handled", 0) for one in said) - distinct,
        timed=count - first.get("began_with", 0) or count,
    )
