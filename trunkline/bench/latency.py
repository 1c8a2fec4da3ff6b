"""How late events come to their handlers, at a steady rate (issue 5, row 5)."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from trunkline.bench.assignment import until_assigned
from trunkline.bench.ground import Ground
from trunkline.bench.measure import Reader, new_group, result_of, started
from trunkline.bench.publishing import publish_at_rate, publisher
from trunkline.bench.readers import bare_decoding, kafkajs, ours_batch, ours_one, python_peer
from trunkline.bench.rounds import Entry, Result, Row, interleaved
from trunkline.delivery.producer import OutRecord

PARTITIONS = 3
_KEYS = 1000
#: The first seconds warm a contestant up; they are not measured.
_WARM_UP_S = 2.0
_TIMEOUT_S = 60.0


async def latency(
    servers: str,
    rates: Sequence[int],
    seconds: float,
    rounds: int,
    progress: Callable[[str], None],
    *,
    with_peers: bool,
) -> list[Row]:
    """Measure the time from the moment an event was due to be published until its handler has it.

    An event counts from when it was due, not from when it was sent: a publisher that is held up
    hides nothing. All contestants are published to by the same idempotent producer (acks=all).

    Args:
        servers: ``host:port`` of the brokers.
        rates: Events a second, one after the other.
        seconds: How long each run is measured, after two seconds that warm it up.
        rounds: How often each contestant runs.
        progress: Told what is going on.
        with_peers: Whether to run the peers, which are installed on first use.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`, with ``per_s``, ``p50_ms``,
        ``p99_ms``, ``p999_ms`` and ``max_ms``. ``ratio`` is the p99 of the bare loop at the same
        rate divided by the contestant's own: 2 is half as late.

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.

    """
    readers = [bare_decoding(), ours_one(), ours_batch()]
    if with_peers:
        progress("Making the peers ready …")
        readers += await asyncio.to_thread(_peers)
    entries = [
        Entry(
            f"{reader.name}, {rate}/s",
            partial(_run, servers, reader, rate, seconds),
            reader.ours,
            labels={"per_s": rate},
        )
        for rate in rates
        for reader in readers
    ]
    rows = await interleaved(entries, rounds, progress)
    for index, row in enumerate(rows):
        bare = rows[index - index % len(readers)]
        late = not row["lost"] and row.get("p99_ms")
        row["ratio"] = round(bare["p99_ms"] / late, 3) if late else None
    return rows


def _peers() -> list[Reader]:
    return [
        kafkajs("eachMessage, commit per message", "commit"),
        kafkajs("eachMessage, autoCommit", "auto"),
        python_peer("faust_read.py", "stock Faust, async for", "async_for"),
    ]


async def _run(servers: str, reader: Reader, per_s: int, seconds: float) -> Result:
    skipped, measured = round(per_s * _WARM_UP_S), round(per_s * seconds)
    job = {"count": skipped + measured, "skipped": skipped}
    async with Ground(servers, PARTITIONS) as ground:
        plain_group = await new_group(ground, reader)
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
            async with started(ground, reader, plain_group, Path(folder), job) as contestant:
                group = f"{ground.namespace}.{plain_group}"
                shares = [PARTITIONS]
                await until_assigned(servers, group, ground.topic, shares, [contestant])
                await _publish(ground, per_s, skipped + measured)
                await contestant.hears("ended_at", _TIMEOUT_S)
                await contestant.end()
                return result_of(contestant, measured)


async def _publish(ground: Ground, per_s: int, count: int) -> None:
    async with publisher(ground.servers) as producer:
        began = time.time()

        def due(numbers: range) -> list[OutRecord]:
            return [_event(ground.topic, n, int((began + n / per_s) * 1e6)) for n in numbers]

        await publish_at_rate(producer, per_s, due, count)


def _event(topic: str, number: int, due_us: int) -> OutRecord:
    value = b'{"userId":"%d","email":"%d@example.com"}' % (number, due_us)
    return OutRecord(topic, value, key=b"%d" % (number % _KEYS))
