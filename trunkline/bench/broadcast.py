"""How late a notification comes to the clients of every pod (issue 5, row 7)."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from trunkline import topics
from trunkline.bench.contestant import Contestant
from trunkline.bench.ground import delete_topics, new_namespace
from trunkline.bench.ours import environment_of
from trunkline.bench.publishing import publish_at_rate, publisher
from trunkline.bench.rounds import Entry, Result, Row, interleaved
from trunkline.bench.usage import usage_of
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord
from trunkline.errors import ConfigurationError, TrunklineError
from trunkline.topology import NOTIFICATION_SENT, Topology
from trunkline.verifying.workers import WorkerProcess

SERVICE = "notification-service"
_WARM_UP_S = 2.0
#: How long the last notifications may take.
_LATE_S = 20.0
_READY_TIMEOUT_S = 180.0
#: That a pod, or the process of the clients, has open besides.
_OTHER_FILES = 100


@dataclass(frozen=True)
class _Audience:
    """Who listens.

    Attributes:
        name: What it is called.
        pods: How many there are.
        clients: Of all pods, evenly.
        each: Whether every client gets ``all`` notifications, or the ``own`` user's.

    """

    name: str
    pods: int
    clients: int
    each: Literal["all", "own"]


async def broadcast(
    servers: str,
    *,
    pods: int,
    clients: int,
    per_s: int,
    seconds: float,
    rounds: int,
    progress: Callable[[str], None],
) -> list[Row]:
    """Measure the time from when a notification was due to be published until a client has it.

    It goes all the way: to ``user.notification.sent`` (acks=all), by the service's group to the
    fan-out topic, to every pod, and from there as a server-sent event to the pod's clients.

    Args:
        servers: ``host:port`` of the brokers.
        pods: How many of the service there are in the row of many pods.
        clients: How many are connected in the rows of many clients.
        per_s: Notifications a second.
        seconds: How long each run is measured, after two seconds that warm it up.
        rounds: How often each runs.
        progress: Told what is going on.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`, with ``pods``, ``clients``,
        ``p50_ms``, ``p99_ms``, ``p999_ms``, ``max_ms``; ``events`` are notifications times the
        clients that get them, ``cpu_s`` and ``rss_mb`` those of all pods. ``ratio`` is the p99 of
        one pod with one client divided by the row's own: 0.5 is twice as late.

    Raises:
        TrunklineError: A client did not get what it should, or got something twice.
        ConfigurationError: The system does not let a process have so many connections.

    """
    _require_files(clients)
    audiences = [
        _Audience("1 pod, 1 client", 1, 1, "all"),
        _Audience(f"{pods} pods, a client at each", pods, pods, "all"),
        _Audience(f"1 pod, {clients} clients, each of another user", 1, clients, "own"),
        _Audience(f"1 pod, {clients} clients of one user", 1, clients, "all"),
    ]
    entries = [
        Entry(
            audience.name,
            partial(_run, servers, audience, per_s, seconds),
            ours=True,
            labels={"pods": audience.pods, "clients": audience.clients},
        )
        for audience in audiences
    ]
    rows = await interleaved(entries, rounds, progress)
    for row in rows:
        row["ratio"] = round(rows[0]["p99_ms"] / row["p99_ms"], 3)
    return rows


async def _run(servers: str, audience: _Audience, per_s: int, seconds: float) -> Result:
    skipped, measured = round(per_s * _WARM_UP_S), round(per_s * seconds)
    namespace = new_namespace()
    topology = Topology(namespace)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        await topics.apply(KafkaConnection.plaintext(servers), topology)
        stack.push_async_callback(delete_topics, servers, namespace)
        pods = [
            WorkerProcess(SERVICE, servers=servers, namespace=namespace, directory=folder / f"{n}")
            for n in range(audience.pods)
        ]
        for pod in pods:
            await stack.enter_async_context(pod)
        for pod in pods:
            await pod.wait_ready(_READY_TIMEOUT_S)
        job = {
            "urls": [
                f"{pods[n % len(pods)].url}/notifications/{_user(audience, n)}"
                for n in range(audience.clients)
            ],
            "count": skipped + measured,
            "skipped": skipped,
            "each": audience.each,
        }
        # By a file: a thousand addresses are too long for a command line that people look at.
        file = folder / "job.json"
        file.write_text(json.dumps(job), "utf-8")
        command = (sys.executable, "-m", "trunkline.bench.listeners", str(file))
        environment = environment_of(servers, folder)
        clients = await stack.enter_async_context(
            Contestant(f"The clients ({audience.name})", command, environment)
        )
        if not await clients.hears("connected", _READY_TIMEOUT_S):
            raise TrunklineError(
                f"Not all of {audience.clients} clients were connected within "
                f"{_READY_TIMEOUT_S:g} s:\n{clients.log_tail()}"
            )
        topic = topology.topic(NOTIFICATION_SENT).name
        publishing = asyncio.create_task(
            _publish(servers, topic, audience, per_s, skipped + measured)
        )
        stack.push_async_callback(_cancel, publishing)
        await clients.hears("began_at", _WARM_UP_S + _LATE_S)
        before = [usage_of(pod.pid).cpu_s for pod in pods]
        await publishing
        await clients.hears("ended_at", _LATE_S)
        used = [usage_of(pod.pid) for pod in pods]
        said = await clients.end()
    events = measured * (audience.clients if audience.each == "all" else 1)
    distinct = said.get("distinct", 0)
    return Result(
        events,
        said["ended_at"] - said["began_at"] if "ended_at" in said else None,
        sum(after.cpu_s - cpu_s for after, cpu_s in zip(used, before, strict=True)),
        sum(after.peak_bytes for after in used) / 1024**2,
        lost=events - distinct,
        repeated=said.get("handled", 0) - distinct,
        more={name: said[name] for name in said if name.endswith("_ms")},
    )


def _require_files(clients: int) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < clients + _OTHER_FILES:
        raise ConfigurationError(
            f"{clients} clients need {clients + _OTHER_FILES} open files, and {allowed} are "
            f"allowed. Allow more (ulimit -n, up to {most} here), or take fewer --clients."
        )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _user(audience: _Audience, number: int) -> int:
    return number % audience.clients if audience.each == "own" else 0


async def _publish(servers: str, topic: str, audience: _Audience, per_s: int, count: int) -> None:
    async with publisher(servers) as producer:
        began = time.time()

        def due(numbers: range) -> list[OutRecord]:
            return [
                _notification(topic, _user(audience, n), n, int((began + n / per_s) * 1e6))
                for n in numbers
            ]

        await publish_at_rate(producer, per_s, due, count)


def _notification(topic: str, user: int, number: int, due_us: int) -> OutRecord:
    value = b'{"userId":"%d","message":"%d %d"}' % (user, number, due_us)
    return OutRecord(topic, value, key=b"%d" % user)
