"""What a worker, and the whole system, take to start, and to be there (issue 5, row 9)."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from trunkline import topics
from trunkline.bench.ground import delete_topics, new_namespace
from trunkline.bench.rounds import Row
from trunkline.bench.usage import processes_of, rss_bytes, usage_of
from trunkline.broker import EmbeddedBroker
from trunkline.broker.ports import find_free_port
from trunkline.connection import KafkaConnection
from trunkline.errors import TrunklineError
from trunkline.topology import Topology
from trunkline.verifying.environment import inherited_environment, project_root
from trunkline.verifying.workers import WorkerProcess

SERVICE = "db-server"
#: Memory is looked at when it has come to rest.
_REST_S = 3.0
_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 60.0
_POLL_S = 0.02
#: What ``trunkline up`` says when every pod is ready.
_READY = "Everything runs"
#: More ports than it has pods.
_PORTS = 20


async def starting(servers: str, rounds: int, progress: Callable[[str], None]) -> list[Row]:
    """Measure start and rest of one worker, and of ``trunkline up`` with a Kafka of its own.

    Returns:
        Rows with ``contestant``, ``seconds`` (process start until ready: partitions assigned and
        tables recovered), ``cpu_s`` (until then), ``rss_mb`` (at rest, shared libraries counted for
        each process) and ``processes``: medians of the rounds.

    Raises:
        TrunklineError: Something did not get ready.

    """
    measured: dict[str, list[Row]] = {}
    starts: dict[str, Callable[[], Awaitable[Row]]] = {
        f"a worker of {SERVICE}, idle": lambda: _worker(servers),
        "trunkline up: Kafka, topics and all services, idle": _system,
    }
    for number in range(1, rounds + 1):
        for name, start in starts.items():
            progress(f"Round {number} of {rounds}: {name} …")
            measured.setdefault(name, []).append(await start())
    return [
        {"contestant": name, **_medians(rows), "ratio": None} for name, rows in measured.items()
    ]


def _medians(rows: Sequence[Row]) -> Row:
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


async def _worker(servers: str) -> Row:
    namespace = new_namespace()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        await topics.apply(KafkaConnection.plaintext(servers), Topology(namespace))
        stack.push_async_callback(delete_topics, servers, namespace)
        worker = WorkerProcess(SERVICE, servers=servers, namespace=namespace, directory=folder)
        began = time.monotonic()
        await stack.enter_async_context(worker)
        await worker.wait_ready()
        return await _at_rest((worker.pid,), time.monotonic() - began)


async def _system() -> Row:
    """Start all as ``scripts/up`` does, without demo traffic, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        output = Path(folder) / "up.log"
        broker = EmbeddedBroker(Path(folder) / "broker", port=find_free_port())
        environment = environment_of_system(broker, Path(folder))
        options = ("--first-port", str(find_free_port(_PORTS)), "--rate", "0")
        with output.open("wb") as log:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "trunkline", "up", *options),
                cwd=project_root(),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            await _until_ready(process, output)
            kafka = broker.pids()
            return await _at_rest((process.pid, *kafka), time.monotonic() - began)
        finally:
            await _end(process)
            # It ended with the system, unless that had to be killed.
            await asyncio.to_thread(broker.stop)


def environment_of_system(broker: EmbeddedBroker, folder: Path) -> dict[str, str]:
    """Return what ``trunkline up`` gets: a Kafka and a disk of its own, whatever we were told.

    It must never run services on a cluster that is in use: they would handle what is there.
    """
    ours = {
        name: value
        for name, value in inherited_environment().items()
        if name != "KAFKA_BOOTSTRAP_SERVERS" and not name.startswith("TRUNKLINE_")
    }
    return {
        **ours,
        "TRUNKLINE_NAMESPACE": new_namespace(),
        "TRUNKLINE_BROKER_PORT": str(broker.port),
        "TRUNKLINE_BROKER_DIR": str(broker.directory),
        "TRUNKLINE_DATA_DIR": str(folder / "data"),
    }


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, output: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while _READY not in (said := output.read_text("utf-8", errors="replace")):  # noqa: ASYNC240
        if process.returncode is not None or time.monotonic() > deadline:
            raise TrunklineError(f"trunkline up did not get ready:\n{said[-3000:]}")
        await asyncio.sleep(_POLL_S)


async def _at_rest(began: Sequence[int], seconds: float) -> Row:
    cpu_s = sum(usage_of(pid).cpu_s for pid in began)
    await asyncio.sleep(_REST_S)
    pids = [pid for one in began for pid in processes_of(one)]
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "rss_mb": sum(rss_bytes(one) for one in pids) / 1024**2,
        "processes": len(pids),
    }
