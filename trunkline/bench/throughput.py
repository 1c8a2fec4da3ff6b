"""One worker, a trivial handler, full guarantees, next to what else there is (issue 5, row 1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from trunkline.bench.ground import Ground
from trunkline.bench.measure import Reader, read_all
from trunkline.bench.readers import bare, bare_decoding, ours_batch, ours_one, peers
from trunkline.bench.rounds import Entry, Row, interleaved

PARTITIONS = 3
#: Contestants that handle a few thousand events a second get a part of them, so that it ends.
SLOW_SHARE = 20


async def throughput(
    servers: str, count: int, rounds: int, progress: Callable[[str], None], *, with_peers: bool
) -> list[Row]:
    """Measure all contestants, interleaved: preloaded events, one process, a handler that counts.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events; slow contestants read a twentieth of it, which their rows say (``events``).
        rounds: How often each contestant runs.
        progress: Told what is going on.
        with_peers: Whether to run the peers, which are installed on first use.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`; ratios are against the bare loop.

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.

    """
    readers = [bare(), bare_decoding(), ours_one(), ours_batch()]
    if with_peers:
        progress("Making the peers ready …")
        readers += await asyncio.to_thread(peers)
    few = max(1, count // SLOW_SHARE)
    async with AsyncExitStack() as grounds:
        large = await grounds.enter_async_context(Ground(servers, PARTITIONS))
        small = await grounds.enter_async_context(Ground(servers, PARTITIONS))
        progress(f"Preloading {count} events on {PARTITIONS} partitions …")
        await large.preload(count)
        await small.preload(few)
        return await interleaved(_entries(readers, (large, count), (small, few)), rounds, progress)


def _entries(
    readers: Sequence[Reader], large: tuple[Ground, int], small: tuple[Ground, int]
) -> list[Entry]:
    entries = []
    for reader in readers:
        ground, count = small if reader.slow else large
        entries.append(Entry(reader.name, partial(read_all, ground, reader, count), reader.ours))
    return entries
