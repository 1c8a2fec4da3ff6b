"""How late retries begin while others wait and the source topic is under load (issue 4)."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.bench.contestant import Contestant
from trunkline.bench.failing import FailingGround, event
from trunkline.bench.ours import ours, settings_of
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import RecordProducer
from trunkline.errors import TrunklineError

_TICK_S = 0.02
_TIMEOUT_S = 120.0
#: Users of the load, so that none of its events has the key of one that fails.
_LOAD_USER = 10_000_000
_LOAD_USERS = 1000


async def retry_delay(
    servers: str, waiting: int, delay_s: float, load_per_s: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure the time from the moment an attempt is due until the handler begins it.

    Events whose first attempt fails are published for twice the back-off, evenly: in the second
    half ``waiting`` of them wait all the time, and others become due at the rate at which new ones
    fail. Good events go through the same topic and worker. Due is the time at which the handler
    failed, in whole milliseconds, plus the back-off; both are taken in the handler.

    Returns:
        One row with ``contestant``, ``retried`` (attempts measured), ``waiting`` (the most at
        once), ``p50_ms``, ``p99_ms``, ``p999_ms``, ``max_ms``, ``earliest_ms`` (below 0 would be
        too early), ``load_per_s`` (good events a second, as handled), ``cpu_s`` and ``rss_mb``.

    Raises:
        TrunklineError: Not every event was tried again, or one was too early.

    """
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        async with FailingGround(servers) as ground:
            job = {
                "namespace": ground.namespace,
                "plain_group": ground.plain_group,
                "kind": "once",
                "count": 2 * waiting,
                "delay_s": delay_s,
            }
            environment = settings_of(servers, Path(folder), f"fixed:{delay_s:g}")
            command = [*ours(), json.dumps(job)]
            async with Contestant("trunkline", command, environment) as worker:
                await _until(worker, "assigned", 1)
                progress(
                    f"{waiting} events wait {delay_s:g} s each, beside {load_per_s} events/s; "
                    f"this takes {3 * delay_s:.0f} s …"
                )
                said = await _measure(worker, ground, 2 * waiting, 2 * delay_s, load_per_s)
    if said["earliest_ms"] < 0:
        raise TrunklineError(f"A retry began {-said['earliest_ms']:.1f} ms before it was due")
    return [_row(said, delay_s)]


async def _measure(
    worker: Contestant, ground: FailingGround, failing: int, spread_s: float, load_per_s: int
) -> dict[str, Any]:
    loading = asyncio.create_task(_load(ground, failing, spread_s, load_per_s))
    try:
        await _until(worker, "retried", failing)
    finally:
        loading.cancel()
        await asyncio.wait({loading})
    if not loading.cancelled():
        loading.result()
    return await worker.end()


def _row(said: dict[str, Any], delay_s: float) -> dict[str, Any]:
    names = ("p50_ms", "p99_ms", "p999_ms", "max_ms", "earliest_ms", "cpu_s", "rss_mb")
    return {
        "contestant": f"trunkline, fixed:{delay_s:g}",
        "retried": said["retried"],
        "waiting": said["most_waiting"],
        "load_per_s": round(said["handled"] / (said["last_at"] - said["began_at"])),
        **{name: said[name] for name in names},
    }


async def _load(ground: FailingGround, failing: int, spread_s: float, load_per_s: int) -> None:
    """Publish what fails, evenly over a time, and good events at a rate until cancelled."""
    producer = RecordProducer(KafkaConnection.plaintext(ground.servers), "bench.load")
    await producer.start()
    began, bad, good = time.monotonic(), 0, 0
    try:
        while True:
            passed = time.monotonic() - began
            bad_now = min(failing, round(failing * passed / spread_s))
            good_now = round(load_per_s * passed)
            records = [event(ground.topic, n, n, fails=True) for n in range(bad, bad_now)]
            records += [
                event(ground.topic, n, _LOAD_USER + n % _LOAD_USERS, fails=False)
                for n in range(good, good_now)
            ]
            bad, good = bad_now, good_now
            await producer.send_many(records)
            await asyncio.sleep(_TICK_S)
    finally:
        await producer.stop()


async def _until(worker: Contestant, name: str, count: int) -> None:
    """Wait until the worker says that it is so far."""
    deadline = time.monotonic() + _TIMEOUT_S
    while worker.said.get(name, 0) < count:
        worker.check()
        if time.monotonic() > deadline:
            raise TrunklineError(
                f"{worker.name} came to {worker.said.get(name, 0)} of {count} ({name}) within "
                f"{_TIMEOUT_S:g} s:\n{worker.log_tail()}"
            )
        await asyncio.sleep(_TICK_S)
