"""What grows with partitions, with the size of values and with blocked keys (issue 5, row 9)."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from trunkline.bench.contestant import Contestant
from trunkline.bench.failing import FailingGround, event
from trunkline.bench.gate import HeldEvents
from trunkline.bench.ground import Ground, event_value
from trunkline.bench.measure import Reader, read_all
from trunkline.bench.ours import ours, settings_of
from trunkline.bench.publishing import publish_all
from trunkline.bench.readers import bare_decoding, ours_one
from trunkline.bench.rounds import Entry, Result, Row, interleaved
from trunkline.delivery.producer import OutRecord
from trunkline.errors import TrunklineError

_PARTITIONS = 3
#: Values of one run come to this much at most.
_MOST_BYTES = 200 * 1024 * 1024
_TIMEOUT_S = 180.0
_POLL_S = 0.05
#: A worker that has taken over a hundred thousand entries comes to rest.
_REST_S = 1.0


async def growth(
    servers: str,
    count: int,
    rounds: int,
    progress: Callable[[str], None],
    *,
    partitions: Sequence[int] = (1, 10, 100),
    value_bytes: Sequence[int] = (100, 1_000, 10_000, 100_000),
    blocked: Sequence[int] = (0, 10_000, 100_000),
) -> list[Row]:
    """Measure one worker with a handler for one event, each time next to a bare loop.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events; fewer for large values (200 MiB at most).
        rounds: How often each runs.
        progress: Told what is going on.
        partitions: Of the topic, all of them the worker's.
        value_bytes: Sizes of an event, in bytes of JSON.
        blocked: How many keys wait for a retry, each with an event, while the events of other keys
            are handled; the worker is new and has taken them over.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`. Ratios are against a bare loop that
        decodes the same events; those of blocked keys against none blocked.

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.

    """
    async with AsyncExitStack() as grounds:
        entries: list[Entry] = []
        for number in partitions:
            progress(f"Preloading {count} events on {number} partitions …")
            ground = await grounds.enter_async_context(Ground(servers, number))
            await ground.preload(count)
            entries += _next_to_bare(ground, count, f"{number} partitions")
        for size in value_bytes:
            few = max(1, min(count, _MOST_BYTES // size))
            progress(f"Preloading {few} events of {size} B …")
            ground = await grounds.enter_async_context(Ground(servers, _PARTITIONS))
            await publish_all(servers, _padded(ground.topic, few, size), size)
            entries += _next_to_bare(ground, few, f"values of {size} B")
        entries += [
            Entry(
                _blocked_name(number),
                partial(_beside_blocked, servers, number, count),
                ours=True,
                against=_blocked_name(blocked[0]),
            )
            for number in blocked
        ]
        return await interleaved(entries, rounds, progress)


def _next_to_bare(ground: Ground, count: int, name: str) -> list[Entry]:
    bare, mine = bare_decoding(), ours_one()

    def entry(reader: Reader, called: str) -> Entry:
        run = partial(read_all, ground, reader, count)
        return Entry(f"{called}, {name}", run, reader.ours, against=f"{bare.name}, {name}")

    return [entry(bare, bare.name), entry(mine, "trunkline")]


def _blocked_name(number: int) -> str:
    return f"trunkline, {number} keys blocked"


def _padded(topic: str, count: int, size: int) -> Iterator[OutRecord]:
    """Yield events of so many bytes: with a field that the model does not have."""
    for number in range(count):
        value = event_value(number)
        fill = size - len(value) - len(b',"note":""')
        if fill >= 0:
            value = b'%b,"note":"%b"}' % (value[:-1], b"x" * fill)
        yield OutRecord(topic, value, key=b"%d" % number)


async def _beside_blocked(servers: str, blocked: int, count: int) -> Result:
    """Block keys, let a new worker take them over, and let it handle the events of other keys."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(FailingGround(servers))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        job = {
            "namespace": ground.namespace,
            "plain_group": ground.plain_group,
            "kind": "fail",
            "count": blocked + count,
            "good": count,
        }
        environment = settings_of(servers, folder, "fixed:86400")
        command = [*ours(), json.dumps(job)]
        if blocked:
            await publish_all(servers, (event(ground.topic, n, n, True) for n in range(blocked)))
            async with Contestant("trunkline", command, environment) as worker:
                await _until_waiting(worker, blocked)
                await worker.end()
        held = await stack.enter_async_context(HeldEvents(ground, count, first=blocked))
        async with Contestant("trunkline", command, environment) as worker:
            await _until_waiting(worker, blocked)
            await asyncio.sleep(_REST_S)
            await held.show()
            if not await worker.hears("good_at", _TIMEOUT_S):
                raise TrunklineError(f"The worker did not end:\n{worker.log_tail()}")
            cpu_s, peak_mb = worker.cpu_s, worker.peak_mb
            said = await worker.end()
        return Result(
            count,
            said["good_at"] - said["began_at"],
            cpu_s,
            peak_mb,
            lost=count - said["distinct"],
            repeated=said["handled"] - said["distinct"],
        )


async def _until_waiting(worker: Contestant, number: int) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while "recovered_at" not in worker.said or worker.said.get("waiting", 0) < number:
        worker.check()
        if time.monotonic() > deadline:
            raise TrunklineError(f"{number} keys were not blocked:\n{worker.log_tail()}")
        await asyncio.sleep(_POLL_S)
