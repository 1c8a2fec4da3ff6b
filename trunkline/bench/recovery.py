"""What waiting retries cost: memory for each, and time until a new pod has them (issue 4)."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trunkline.bench.contestant import Contestant
from trunkline.bench.failing import FailingGround
from trunkline.bench.ours import ours, settings_of
from trunkline.errors import TrunklineError

_TIMEOUT_S = 300.0
_POLL_S = 0.02
#: Memory is looked at when a worker has come to rest.
_REST_S = 1.0


async def recovery(
    servers: str, waiting: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure a worker that takes over waiting retries, on an empty disk and on its own.

    Returns:
        Rows with ``contestant``, ``waiting`` (entries), ``start_s`` (process start until the group
        gave it its partitions), ``recovery_s`` (from then until every entry is known and tried when
        due), ``rss_mb``, ``bytes_per_entry`` (memory over that of a worker for which nothing
        waits, for each entry) and ``disk_bytes_per_entry``.

    Raises:
        TrunklineError: A worker ended by itself, or did not get there in five minutes.

    """
    async with FailingGround(servers) as ground:
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
            return await _recovery(ground, waiting, Path(folder), progress)


async def _recovery(
    ground: FailingGround, waiting: int, folder: Path, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    progress("A worker for which nothing waits …")
    async with _worker(ground, folder / "first") as worker:
        await _until(worker, 0)
        await asyncio.sleep(_REST_S)
        empty_bytes = worker.rss_bytes
        progress(f"{waiting} events fail, and are to be tried again tomorrow …")
        await ground.preload_failing(waiting, waiting)
        await _until(worker, waiting)
        await asyncio.sleep(_REST_S)
        await worker.end()
    rows = []
    for name, disk in (("on an empty disk", "second"), ("on its own disk", "first")):
        progress(f"A new worker {name} …")
        began_at = time.time()
        async with _worker(ground, folder / disk) as worker:
            await _until(worker, waiting)
            await asyncio.sleep(_REST_S)
            said, used_bytes = worker.said, worker.rss_bytes - empty_bytes
            row = {
                "contestant": name,
                "waiting": waiting,
                "start_s": round(said["assigned_at"] - began_at, 2),
                "recovery_s": round(said["recovered_at"] - said["assigned_at"], 2),
                "rss_mb": round(worker.rss_bytes / 1024**2, 1),
                "bytes_per_entry": round(used_bytes / waiting),
            }
            await worker.end()
        rows.append({**row, "disk_bytes_per_entry": round(_size(folder / disk) / waiting)})
    return rows


def _worker(ground: FailingGround, folder: Path) -> Contestant:
    job = {"namespace": ground.namespace, "plain_group": ground.plain_group, "kind": "fail"}
    environment = settings_of(ground.servers, folder, "fixed:86400")
    return Contestant("trunkline", [*ours(), json.dumps(job)], environment)


async def _until(worker: Contestant, waiting: int) -> None:
    """Wait until a worker has recovered, and so many entries wait durably."""
    deadline = time.monotonic() + _TIMEOUT_S
    while "recovered_at" not in worker.said or worker.said.get("waiting", 0) < waiting:
        worker.check()
        if time.monotonic() > deadline:
            raise TrunklineError(
                f"{worker.said.get('waiting', 0)} of {waiting} entries wait after "
                f"{_TIMEOUT_S:g} s:\n{worker.log_tail()}"
            )
        await asyncio.sleep(_POLL_S)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
