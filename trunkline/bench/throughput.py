"""One worker, a trivial handler, full guarantees, next to a bare loop (issue 3)."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from trunkline.bench.ground import Ground, Job, median_row
from trunkline.errors import TrunklineError

#: The contestant that the ratios are against.
BARE = "aiokafka getmany, commit per batch"
PARTITIONS = 3


async def throughput(
    servers: str, count: int, rounds: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure all contestants, interleaved; a wrong count is an error.

    Returns:
        Rows with ``contestant``, ``events_per_s`` (median of the rounds), ``ratio`` (against the
        bare loop), ``cpu_s``, ``rss_mb``, ``seconds`` and ``rounds``.

    """
    async with Ground(servers, PARTITIONS) as ground:
        progress(f"Preloading {count} events on {PARTITIONS} partitions …")
        await ground.preload(count)
        contestants: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
            BARE: lambda: _bare(ground, count),
            "aiokafka getmany with the same decoding": lambda: _bare(ground, count, "decode"),
            "trunkline, a handler for one event": lambda: _ours(ground, count, "one"),
            "trunkline, a handler for batches": lambda: _ours(ground, count, "batch"),
        }
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
        for number in range(1, rounds + 1):
            for name, run in contestants.items():
                progress(f"Round {number} of {rounds}: {name} …")
                result = await run()
                if result["handled"] != count:
                    raise TrunklineError(f"{name} handled {result['handled']} of {count} events")
                measured[name].append(result)
    rows = [median_row(name, results) for name, results in measured.items()]
    for row in rows:
        row["ratio"] = round(row["events_per_s"] / rows[0]["events_per_s"], 3)
    return rows


async def _bare(ground: Ground, count: int, *options: str) -> dict[str, Any]:
    return await ground.run(
        "trunkline.bench.bare",
        ground.servers,
        ground.topic,
        f"{ground.namespace}.{uuid.uuid4().hex[:8]}",
        str(count),
        *options,
    )


async def _ours(ground: Ground, count: int, kind: Any) -> dict[str, Any]:
    return await ground.run_job(Job(ground.namespace, await ground.new_group(), count, kind))
