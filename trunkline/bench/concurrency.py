"""Waiting handlers on one partition: the table of Confluent's Parallel Consumer (issue 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trunkline.bench.ground import Ground, Job, median_row
from trunkline.errors import TrunklineError

CONCURRENCY = 100
WAIT_MS = 5.0


async def concurrency(
    servers: str, count: int, rounds: int, keys: tuple[int, ...], progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure how long ``count`` events take whose handler waits 0 to 5 ms, 100 keys at once.

    Returns:
        Rows with ``contestant``, ``keys``, ``seconds`` (median), ``events_per_s``, ``ratio``
        (events a second against one key's) and ``out_of_order`` (always 0).

    Raises:
        TrunklineError: An event is missing, or a key's events were handled out of order.

    """
    rows = []
    for number in keys:
        async with Ground(servers, partitions=1) as ground:
            await ground.preload(count, number)
            results = []
            for index in range(1, rounds + 1):
                progress(f"{number} key(s), round {index} of {rounds} …")
                results.append(await _run(ground, count))
        row = {**median_row(f"trunkline, {number} key(s)", results), "keys": number}
        rows.append({**row, "out_of_order": sum(r["out_of_order"] for r in results)})
    slowest = min(row["events_per_s"] for row in rows)
    for row in rows:
        row["ratio"] = round(row["events_per_s"] / slowest, 2)
    return rows


async def _run(ground: Ground, count: int) -> dict[str, Any]:
    group = await ground.new_group()
    result = await ground.run_job(Job(ground.namespace, group, count, "wait", CONCURRENCY, WAIT_MS))
    if result["handled"] != count or result["out_of_order"]:
        raise TrunklineError(
            f"{result['handled']} of {count} events handled, {result['out_of_order']} out of order"
        )
    return result
