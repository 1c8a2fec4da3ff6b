"""How long partitions stand still when a pod dies, and when all are restarted (issue 5, row 8)."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from trunkline.bench.assignment import until_assigned
from trunkline.bench.contestant import Contestant
from trunkline.bench.ground import Ground, event_value
from trunkline.bench.ours import environment_of, our_worker
from trunkline.bench.publishing import publish_at_rate, publisher
from trunkline.bench.rounds import Row
from trunkline.bench.usage import Usage
from trunkline.delivery.producer import OutRecord
from trunkline.errors import TrunklineError

PARTITIONS = 4
PODS = ("first", "second")
_KEYS = 1000
#: How long all goes well before something happens.
_QUIET_S = 3.0
#: Every partition is handled again when it was not silent for ``_SILENT_S`` through ``_STEADY_S``.
_SILENT_S = 0.5
_STEADY_S = 2.0
_TIMEOUT_S = 120.0
_POLL_S = 0.1

_TUNED = {"TRUNKLINE_SESSION_TIMEOUT_S": "6"}
_STATIC = {"TRUNKLINE_STATIC_MEMBERSHIP": "1"}


@dataclass(frozen=True)
class Scenario:
    """What happens to the pods.

    Attributes:
        name: What it is called.
        happens: ``killed``: one gets ``kill -9`` and never comes back; ``replaced``: it is started
            again at once, with its name and disk; ``rolled``: one after the other gets SIGTERM and
            is started again when it has ended.
        settings: The pods' environment besides.

    """

    name: str
    happens: str
    settings: Mapping[str, str] = field(default_factory=dict)


SCENARIOS = (
    Scenario("kill -9, by default (session 30 s)", "killed"),
    Scenario("kill -9, session 6 s", "killed", _TUNED),
    Scenario("kill -9, started again at once", "replaced"),
    Scenario("kill -9, started again at once, session 6 s", "replaced", _TUNED),
    Scenario("kill -9, started again at once, static membership", "replaced", _STATIC),
    Scenario("rolling restart", "rolled"),
    Scenario("rolling restart, static membership", "rolled", _STATIC),
)


async def failover(
    servers: str,
    per_s: int,
    rounds: int,
    progress: Callable[[str], None],
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> list[Row]:
    """Measure how long partitions stand still, with two pods on four partitions under load.

    Args:
        servers: ``host:port`` of the brokers.
        per_s: Events a second; more of them measure finer.
        rounds: How often each scenario runs.
        progress: Told what is going on.
        scenarios: Which ones.

    Returns:
        Rows with ``contestant``, ``seconds`` (the longest time that any partition stood still),
        ``least_s`` (that of the partition that fared best), ``events``, ``lost`` and ``repeated``
        (the worst round), ``cpu_s`` and ``rss_mb`` (of the pods that run at the end), ``ratio``
        (seconds of the first row by the row's own) and ``rounds`` (each round's seconds). Events
        that a pod had handled but not committed when it was killed come again.

    Raises:
        TrunklineError: An event was lost, or a pod ended by itself.

    """
    found: dict[str, list[Row]] = {scenario.name: [] for scenario in scenarios}
    for number in range(1, rounds + 1):
        for scenario in scenarios:
            progress(f"Round {number} of {rounds}: {scenario.name} …")
            found[scenario.name].append(await _run(servers, scenario, per_s))
    rows = [_row(name, of_rounds) for name, of_rounds in found.items()]
    for row in rows:
        row["ratio"] = round(rows[0]["seconds"] / row["seconds"], 3)
    return rows


def _row(name: str, rounds: Sequence[Row]) -> Row:
    medians = {
        key: round(statistics.median(one[key] for one in rounds), 3)
        for key in ("seconds", "least_s", "events", "cpu_s", "rss_mb")
    }
    worst = {key: max(one[key] for one in rounds) for key in ("lost", "repeated")}
    return {
        "contestant": name,
        **medians,
        "ratio": None,
        **worst,
        "rounds": [round(one["seconds"], 3) for one in rounds],
    }


class _Pods:
    """Two workers of one group, each of which keeps a journal that survives ``kill -9``."""

    def __init__(self, ground: Ground, plain_group: str, folder: Path, scenario: Scenario) -> None:
        self.group = f"{ground.namespace}.{plain_group}"
        self.running: dict[str, Contestant] = {}
        self._ground = ground
        self._plain_group = plain_group
        self._folder = folder
        self._settings = scenario.settings
        self._read: dict[str, int] = dict.fromkeys(PODS, 0)
        self._handled: list[tuple[int, int, float]] = []

    async def start(self, pod: str) -> None:
        """Start a pod, or start it again under its name, on its disk."""
        job = {
            "namespace": self._ground.namespace,
            "plain_group": self._plain_group,
            "count": 0,
            "kind": "journal",
            "journal": str(self._journal(pod)),
        }
        environment = {
            **environment_of(self._ground.servers, self._folder),
            "TRUNKLINE_POD": pod,
            **self._settings,
        }
        worker = Contestant(f"Pod {pod}", [*our_worker(), json.dumps(job)], environment)
        self.running[pod] = await worker.__aenter__()

    async def kill(self, pod: str) -> None:
        """End a pod as a power cut would."""
        await self.running.pop(pod).__aexit__()

    async def stop(self, pod: str) -> None:
        """Let a pod finish, commit and leave."""
        worker = self.running.pop(pod)
        try:
            await worker.end()
        finally:
            await worker.__aexit__()

    async def kill_all(self) -> None:
        """End what runs."""
        for pod in tuple(self.running):
            await self.kill(pod)

    async def until_shared(self) -> None:
        """Wait until the pods that run have two partitions each, or one has all of them."""
        workers = list(self.running.values())
        shares = [PARTITIONS // len(workers)] * len(workers)
        servers, topic = self._ground.servers, self._ground.topic
        await until_assigned(servers, self.group, topic, shares, workers)

    def handled(self) -> list[tuple[int, int, float]]:
        """Return partition, offset and Unix time of all that was handled; reads on where it was."""
        for pod in PODS:
            if self._journal(pod).exists():
                self._handled += self._read_on(pod)
        return self._handled

    def _read_on(self, pod: str) -> list[tuple[int, int, float]]:
        with self._journal(pod).open("rb") as journal:
            journal.seek(self._read[pod])
            new = journal.read()
        # A last line that is half written is read when it is whole.
        whole = new[: new.rfind(b"\n") + 1]
        self._read[pod] += len(whole)
        lines = (line.split(b" ") for line in whole.splitlines())
        return [(int(partition), int(offset), float(at)) for partition, offset, at in lines]

    def usage(self) -> Usage:
        """Return what the pods that run have used."""
        used = [worker.usage() for worker in self.running.values()]
        return Usage(sum(one.cpu_s for one in used), sum(one.peak_bytes for one in used))

    def _journal(self, pod: str) -> Path:
        return self._folder / f"{pod}.journal"


async def _run(servers: str, scenario: Scenario, per_s: int) -> Row:
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(Ground(servers, PARTITIONS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        pods = _Pods(ground, await ground.new_group(), folder, scenario)
        stack.push_async_callback(pods.kill_all)
        for pod in PODS:
            await pods.start(pod)
        await pods.until_shared()
        publishing = asyncio.create_task(_publish(ground, per_s))
        try:
            await _until_steady(pods, time.time())
            begins = time.time()
            await asyncio.sleep(_QUIET_S)
            await _WHAT_HAPPENS[scenario.happens](pods)
            await _until_steady(pods, time.time())
            ends = time.time()
        finally:
            publishing.cancel()
            await asyncio.wait({publishing})
        if not publishing.cancelled():
            publishing.result()
        published = await _end_offsets(ground)
        await _until_all(pods, published)
        used = pods.usage()
        handled = sorted(pods.handled(), key=lambda line: line[2])
        return _measured(handled, published, (begins, ends), used)


async def _publish(ground: Ground, per_s: int) -> None:
    async with publisher(ground.servers) as producer:

        def due(numbers: range) -> list[OutRecord]:
            return [
                OutRecord(ground.topic, event_value(n % _KEYS), key=b"%d" % (n % _KEYS))
                for n in numbers
            ]

        await publish_at_rate(producer, per_s, due)


async def _killed(pods: _Pods) -> None:
    await pods.kill(PODS[0])
    await pods.until_shared()


async def _replaced(pods: _Pods) -> None:
    await pods.kill(PODS[0])
    await pods.start(PODS[0])
    await pods.until_shared()


async def _rolled(pods: _Pods) -> None:
    for pod in PODS:
        await pods.stop(pod)
        await pods.start(pod)
        await pods.until_shared()
        await _until_steady(pods, time.time())


_WHAT_HAPPENS: Mapping[str, Callable[[_Pods], Awaitable[None]]] = {
    "killed": _killed,
    "replaced": _replaced,
    "rolled": _rolled,
}


async def _until_steady(pods: _Pods, since: float) -> None:
    """Wait until every partition has been handled without a pause, for a moment."""
    deadline = time.monotonic() + _TIMEOUT_S
    steady_since = time.time()
    while True:
        latest: dict[int, float] = {}
        for partition, _, at in pods.handled():
            if at > since:
                latest[partition] = max(at, latest.get(partition, 0.0))
        now = time.time()
        if len(latest) < PARTITIONS or min(latest.values()) < now - _SILENT_S:
            steady_since = now
        if now - steady_since > _STEADY_S:
            return
        _check(pods)
        if time.monotonic() > deadline:
            raise TrunklineError(
                f"After {_TIMEOUT_S:g} s only {sorted(latest)} of {PARTITIONS} partitions are "
                f"handled:\n{_log_tails(pods)}"
            )
        await asyncio.sleep(_POLL_S)


async def _until_all(pods: _Pods, published: Mapping[int, int]) -> None:
    """Wait until as many events have been handled as there are, or no more come."""
    deadline = time.monotonic() + _TIMEOUT_S
    while len({(p, o) for p, o, _ in pods.handled()}) < sum(published.values()):
        _check(pods)
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_S)


def _check(pods: _Pods) -> None:
    for worker in pods.running.values():
        worker.check()


def _log_tails(pods: _Pods) -> str:
    return "\n".join(worker.log_tail() for worker in pods.running.values())


async def _end_offsets(ground: Ground) -> dict[int, int]:
    """Return how many events each partition has: the topic is new, and nothing is transactional."""
    consumer = AIOKafkaConsumer(bootstrap_servers=ground.servers)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [TopicPartition(ground.topic, n) for n in range(PARTITIONS)]
        )
        return {tp.partition: end for tp, end in ends.items()}
    finally:
        await consumer.stop()


def _measured(
    handled: Sequence[tuple[int, int, float]],
    published: Mapping[int, int],
    between: tuple[float, float],
    used: Usage,
) -> Row:
    events = sum(published.values())
    distinct = len({(partition, offset) for partition, offset, _ in handled})
    if distinct < events:
        raise TrunklineError(f"Of {events} events {events - distinct} were never handled.")
    if distinct > events:
        raise TrunklineError(f"{distinct} events were handled, but only {events} published.")
    pauses = [longest_pause_s(handled, partition, between) for partition in published]
    return {
        "seconds": max(pauses),
        "least_s": min(pauses),
        "events": events,
        "cpu_s": used.cpu_s,
        "rss_mb": used.peak_bytes / 1024**2,
        "lost": events - distinct,
        "repeated": len(handled) - distinct,
    }


def longest_pause_s(
    handled: Sequence[tuple[int, int, float]], partition: int, between: tuple[float, float]
) -> float:
    """Return the longest time in which nothing of a partition was handled.

    Args:
        handled: Partition, offset and Unix time, in order of time.
        partition: Which one.
        between: The time that is looked at; its ends count as moments at which it was handled.

    """
    begins, ends = between
    times = [at for number, _, at in handled if number == partition and begins <= at <= ends]
    moments = [begins, *times, ends]
    return max(after - before for before, after in itertools.pairwise(moments))
