"""Handlers that wait, on one partition, beside Confluent's Parallel Consumer (issues 3 and 5).

The table is the one of its README, with the same waiting work, and the same number of events and
threads (here: keys at once).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from trunkline.bench.ground import Ground, Job, median_row
from trunkline.bench.java import PARALLEL_CONSUMER, java_peer
from trunkline.bench.publishing import publish_all
from trunkline.delivery.producer import OutRecord
from trunkline.errors import TrunklineError

CONCURRENCY = 100
WAIT_MS = 5.0
#: Keys that stand for no order at all: the events have none.
UNORDERED = 0
PEER = "Confluent's Parallel Consumer"

_TIMEOUT_S = 300


async def concurrency(
    servers: str,
    count: int,
    rounds: int,
    keys: Sequence[int],
    progress: Callable[[str], None],
    *,
    ours_only: bool = False,
) -> list[dict[str, Any]]:
    """Measure how long ``count`` events take whose handler waits 0 to 5 ms, 100 at once at most.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events on one partition, preloaded.
        rounds: How often each contestant runs, in turn.
        keys: How many keys the events have, a pair of rows each: 1 is the order of the partition,
            0 is events without keys.
        progress: Told what is going on.
        ours_only: Whether to leave out the Parallel Consumer, which comes from Maven Central.

    Returns:
        Rows with ``contestant``, ``keys``, ``seconds`` (median), ``events_per_s``, ``ratio``
        (events a second against the peer's with the same keys; alone, against the first row),
        ``cpu_s``, ``rss_mb``, ``out_of_order`` and ``repeated`` (of all rounds).

    Raises:
        TrunklineError: An event of ours is missing, or a key's events were handled out of order;
            or a contestant failed.

    """
    peer = None
    if not ours_only:
        peer = await asyncio.to_thread(
            java_peer, "ParallelConsumerPeer", PARALLEL_CONSUMER, progress
        )
    rows = list(
        chain.from_iterable(
            [
                await _one_order(servers, count, rounds, number, peer=peer, progress=progress)
                for number in keys
            ]
        )
    )
    for row in rows:
        baseline = next((r for r in rows if r["keys"] == row["keys"] and peer), rows[0])
        row["ratio"] = round(row["events_per_s"] / baseline["events_per_s"], 2)
    return rows


async def _one_order(
    servers: str,
    count: int,
    rounds: int,
    keys: int,
    *,
    peer: Sequence[str] | None,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    names = [*([PEER] if peer else []), "trunkline"]
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    async with Ground(servers, partitions=1) as ground:
        await _preload(ground, count, keys)
        for index in range(1, rounds + 1):
            for name in names:
                progress(f"Round {index} of {rounds}: {name}, {_order(keys)} …")
                run = (
                    _ours(ground, count, keys) if name != PEER else _peer(ground, count, keys, peer)
                )
                measured[name].append(await run)
    return [
        {
            **median_row(f"{name}, {_order(keys)}", results),
            "keys": keys,
            "out_of_order": sum(r["out_of_order"] for r in results),
            "repeated": sum(r["handled"] - count for r in results),
        }
        for name, results in measured.items()
    ]


def _order(keys: int) -> str:
    if keys == UNORDERED:
        return "unordered"
    return "partition order" if keys == 1 else f"{keys:,} keys"


async def _preload(ground: Ground, count: int, keys: int) -> None:
    if keys != UNORDERED:
        await ground.preload(count, keys)
        return
    value = b'{"userId":"%d","email":"user%d@example.com"}'
    records = (OutRecord(ground.topic, value % (n, n)) for n in range(count))
    await publish_all(ground.servers, records)


async def _ours(ground: Ground, count: int, keys: int) -> dict[str, Any]:
    group = await ground.new_group()
    job = Job(ground.namespace, group, count, "wait", concurrency=CONCURRENCY, wait_ms=WAIT_MS)
    result = await ground.run_job(job)
    if keys == UNORDERED:
        result["out_of_order"] = 0
    if result["handled"] != count or result["out_of_order"]:
        raise TrunklineError(
            f"{result['handled']} of {count} events handled, {result['out_of_order']} out of order"
        )
    return result


async def _peer(
    ground: Ground, count: int, keys: int, command: Sequence[str] | None
) -> dict[str, Any]:
    assert command is not None
    ordering = "UNORDERED" if keys == UNORDERED else "PARTITION" if keys == 1 else "KEY"
    group = f"{ground.namespace}.{uuid.uuid4().hex[:8]}"
    arguments = (ground.servers, ground.topic, group, count, ordering, CONCURRENCY, WAIT_MS)
    return await asyncio.to_thread(_run, [*command, *map(str, arguments)])


def _run(command: Sequence[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrunklineError(f"{PEER} did not end within {_TIMEOUT_S} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise TrunklineError(f"{PEER} measured nothing:\n{done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(lines[-1])
    return measured
