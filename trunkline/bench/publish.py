"""Publishing with every acknowledgement awaited: over HTTP, from a file, and by other clients.

Issue 5, row 4.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from trunkline import topics
from trunkline.bench.arrivals import Arrivals, arrivals
from trunkline.bench.contestant import Contestant
from trunkline.bench.ground import delete_topics, event_value, new_namespace
from trunkline.bench.ours import environment_of
from trunkline.bench.peers import PEERS, require_peers
from trunkline.bench.posting import post_all
from trunkline.bench.rounds import Entry, Result, Row, interleaved
from trunkline.bench.usage import Usage, usage_of
from trunkline.connection import KafkaConnection
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.verifying.workers import WorkerProcess

SERVICE = "auth-service"
#: Events of one call, or of one body.
SIZE = 1000
#: Single events that are on their way at once.
AT_ONCE = 32
#: Calls with many events, or bodies, that are on their way at once.
MANY_AT_ONCE = 4
#: Single events are a tenth of the others: each waits for an acknowledgement.
SINGLE_SHARE = 10
_TIMEOUT_S = 300.0
_POLL_S = 0.02

#: How one contestant publishes so many events, the first of which has the given number.
Publish = Callable[["_Place", int, int], Awaitable["_Run"]]


@dataclass(frozen=True)
class _Place:
    """Where contestants publish to.

    Attributes:
        servers: ``host:port`` of the brokers.
        namespace: Of the topics.
        topic: Real name.
        folder: For files.

    """

    servers: str
    namespace: str
    topic: str
    folder: Path


@dataclass(frozen=True)
class _Run:
    seconds: float
    cpu_s: float
    rss_mb: float


async def publish(
    servers: str, count: int, rounds: int, progress: Callable[[str], None], *, with_peers: bool
) -> list[Row]:
    """Measure how many events a second are acknowledged (``acks=all``, idempotent producers).

    Each contestant's clock runs from its first call, when it is connected, to the acknowledgement
    of its last event. What stands in the topic afterwards is counted from outside.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events; contestants that publish one at a time publish a tenth of them.
        rounds: How often each contestant runs.
        progress: Told what is going on.
        with_peers: Whether to run kafkajs, which is installed on first use.

    Returns:
        Rows, see :func:`trunkline.bench.rounds.interleaved`. Ratios are against the bare producer
        that publishes in the same way, many or one at a time.

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.

    """
    if with_peers:
        progress("Making the peers ready …")
        await asyncio.to_thread(require_peers)
    namespace = new_namespace()
    topology = Topology(namespace)
    topic = topology.topic(AUTH_REGISTERED)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        await topics.apply(KafkaConnection.plaintext(servers), topology)
        stack.push_async_callback(delete_topics, servers, namespace)
        arrived = await stack.enter_async_context(arrivals(servers, topic.name, topic.partitions))
        place = _Place(servers, namespace, topic.name, folder)
        numbers = _Numbers()
        entries = [
            Entry(name, _counted(run, place, numbers, arrived, events), ours, against=against)
            for name, run, events, ours, against in _contestants(count, with_peers=with_peers)
        ]
        return await interleaved(entries, rounds, progress)


_BULK = f"aiokafka producer, {SIZE} events a call, {MANY_AT_ONCE} at once"
_SINGLE = f"aiokafka producer, one event a call, {AT_ONCE} at once"


def _contestants(
    count: int, *, with_peers: bool
) -> list[tuple[str, Publish, int, bool, str | None]]:
    few = max(1, count // SINGLE_SHARE)
    node = ("node", str(PEERS / "kafkajs_publish.mjs"))
    bare = (sys.executable, "-m", "trunkline.bench.bare_publish")
    bulk = f"kafkajs producer, {SIZE} events a call, {MANY_AT_ONCE} at once"
    single = f"kafkajs producer, one event a call, {AT_ONCE} at once"
    found = [
        (_BULK, _program(_BULK, bare, SIZE), count, False, _BULK),
        (bulk, _program(bulk, node, SIZE), count, False, _BULK),
        ("trunkline publish FILE", _from_file, count, True, _BULK),
        (
            f"trunkline HTTP, {SIZE} events a body, {MANY_AT_ONCE} at once",
            _over_http_many,
            count,
            True,
            _BULK,
        ),
        (_SINGLE, _program(_SINGLE, bare, 1), few, False, _SINGLE),
        (single, _program(single, node, 1), few, False, _SINGLE),
        (
            f"trunkline HTTP, one event a post, {AT_ONCE} at once",
            *(_over_http_one, few),
            True,
            _SINGLE,
        ),
    ]
    return [one for one in found if with_peers or not one[0].startswith("kafkajs")]


class _Numbers:
    """Gives each run numbers that no other has had."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> int:
        first, self._next = self._next, self._next + count
        return first


def _counted(
    run: Publish, place: _Place, numbers: _Numbers, arrived: Arrivals, count: int
) -> Callable[[], Awaitable[Result]]:
    async def counted() -> Result:
        await arrived.new()
        done = await run(place, numbers.take(count), count)
        handled, distinct = await arrived.new()
        return Result(
            count,
            done.seconds,
            done.cpu_s,
            done.rss_mb,
            lost=count - distinct,
            repeated=handled - distinct,
        )

    return counted


def _program(name: str, command: Sequence[str], size: int) -> Publish:
    async def run(place: _Place, first: int, count: int) -> _Run:
        given = {
            "servers": place.servers,
            "topic": place.topic,
            "first": first,
            "count": count,
            "size": size,
            "at_once": AT_ONCE if size == 1 else MANY_AT_ONCE,
        }
        environment = environment_of(place.servers, place.folder)
        async with Contestant(name, [*command, json.dumps(given)], environment) as contestant:
            await contestant.ended(_TIMEOUT_S)
            said = contestant.said
            seconds = said["ended_at"] - said["began_at"]
            return _Run(seconds, contestant.cpu_s, contestant.peak_mb)

    return run


async def _from_file(place: _Place, first: int, count: int) -> _Run:
    """Publish a file by ``trunkline publish``; its CPU time has that of its start in it."""
    file = place.folder / f"{first}.ndjson"
    file.write_bytes(b"".join(_lines(range(first, first + count))))
    command = (sys.executable, "-m", "trunkline", "publish", AUTH_REGISTERED, str(file), "--json")
    environment = {
        **environment_of(place.servers, place.folder),
        "TRUNKLINE_NAMESPACE": place.namespace,
    }
    async with Contestant("trunkline publish", command, environment) as contestant:
        watching = asyncio.create_task(_last_usage(contestant))
        await contestant.ended(_TIMEOUT_S)
        used = await watching
    file.unlink()
    return _Run(contestant.said["seconds"], used.cpu_s, used.peak_bytes / 1024**2)


async def _last_usage(contestant: Contestant) -> Usage:
    """Return what a process that ends by itself has used until just before its end."""
    used = contestant.usage()
    while (now := contestant.usage()).peak_bytes:
        used = now
        await asyncio.sleep(_POLL_S)
    return used


async def _over_http_one(place: _Place, first: int, count: int) -> _Run:
    bodies = [event_value(number) for number in range(first, first + count)]
    return await _over_http(place, bodies, "application/json", AT_ONCE)


async def _over_http_many(place: _Place, first: int, count: int) -> _Run:
    numbers = range(first, first + count)
    bodies = [b"".join(_lines(numbers[at : at + SIZE])) for at in range(0, count, SIZE)]
    return await _over_http(place, bodies, "application/x-ndjson", MANY_AT_ONCE)


async def _over_http(
    place: _Place, bodies: Sequence[bytes], content_type: str, connections: int
) -> _Run:
    worker = WorkerProcess(
        SERVICE, servers=place.servers, namespace=place.namespace, directory=place.folder
    )
    async with worker:
        await worker.wait_ready()
        before = usage_of(worker.pid)
        began = time.monotonic()
        await post_all(f"{worker.url}/events/{AUTH_REGISTERED}", bodies, content_type, connections)
        seconds = time.monotonic() - began
        used = usage_of(worker.pid)
        return _Run(seconds, used.cpu_s - before.cpu_s, used.peak_bytes / 1024**2)


def _lines(numbers: Sequence[int]) -> list[bytes]:
    return [event_value(number) + b"\n" for number in numbers]
