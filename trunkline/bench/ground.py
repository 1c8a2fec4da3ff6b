"""The ground a benchmark runs on: topics of its own, preloaded events, contestants as processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from models import UserRegistered
from trunkline import topics
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import TrunklineError
from trunkline.topology import Service, Topic, Topology

_CHUNK = 10_000
_TIMEOUT_S = 180
_WORKER = Path(__file__).resolve().parents[2] / "bench" / "measured.py"

#: Plain name of the topic that is read.
EVENTS = "events"


class Job(msgspec.Struct):
    """What a worker is to run, as the one argument of ``bench/measured.py``.

    ``kind`` is ``one`` or ``batch`` (trivial), or ``wait`` (sleeps, by key).
    """

    namespace: str
    group: str
    count: int
    kind: Literal["one", "batch", "wait"] = "one"
    concurrency: int = 1
    wait_ms: float = 5.0


def ground_topology(namespace: str, partitions: int, *groups: str) -> Topology:
    """Return a topic, and groups that read it, with all that each needs for its failures."""
    services = tuple(Service(group, "consumer", group, reads=(EVENTS,)) for group in groups)
    return Topology(namespace, services, (Topic(EVENTS, partitions, model=UserRegistered),))


class Ground:
    """A topic with events, and groups that read it; all topics are deleted at the end."""

    def __init__(self, servers: str, partitions: int) -> None:
        self.servers = servers
        self.partitions = partitions
        self.namespace = f"bench-{uuid.uuid4().hex[:8]}"
        self._groups: list[str] = []
        self.topic = self._topology().topic(EVENTS).name

    def _topology(self) -> Topology:
        return ground_topology(self.namespace, self.partitions, *self._groups)

    async def __aenter__(self) -> Ground:
        await self._apply()
        return self

    async def _apply(self) -> None:
        await topics.apply(self.servers.split(","), self._topology())

    async def __aexit__(self, *_: object) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.delete_topics([topic.name for topic in self._topology().topics()])
        finally:
            await admin.close()

    async def preload(self, count: int, keys: int | None = None) -> None:
        """Publish events of the seed's size, keyed by user, spread evenly over ``keys`` users."""
        producer = RecordProducer(self.servers.split(","), "bench.preload")
        await producer.start()
        try:
            for start in range(0, count, _CHUNK):
                numbers = range(start, min(start + _CHUNK, count))
                await producer.send_many([self._event(n % keys if keys else n) for n in numbers])
        finally:
            await producer.stop()

    def _event(self, user: int) -> OutRecord:
        value = b'{"userId":"%d","email":"user%d@example.com"}' % (user, user)
        return OutRecord(self.topic, value, key=b"%d" % user)

    async def new_group(self) -> str:
        """Return a group that has committed nothing, its topics made."""
        self._groups.append(f"group-{len(self._groups) + 1}")
        await self._apply()
        return self._groups[-1]

    async def run_job(self, job: Job) -> dict[str, Any]:
        """Run one of our workers to its end, and return what it measured.

        Raises:
            TrunklineError: It failed, or did not end in time; or this is no clone: the worker is an
                entry point beside the package.

        """
        if not _WORKER.exists():
            raise TrunklineError(
                f"{_WORKER} is missing: it comes with the repository, not with the package. Run "
                "the benchmark from a clone."
            )
        return await self._measure([str(_WORKER), msgspec.json.encode(job).decode()])

    async def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run another contestant to its end, and return what it measured.

        Raises:
            TrunklineError: It failed, or did not end within three minutes.

        """
        return await self._measure(["-m", module, *arguments])

    async def _measure(self, command: Sequence[str]) -> dict[str, Any]:
        return await asyncio.to_thread(self._run, command)

    def _run(self, command: Sequence[str]) -> dict[str, Any]:
        name = command[1]
        root = str(_WORKER.parents[1])
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "PYTHONPATH": root,
            "TRUNKLINE_DATA_DIR": f".trunkline/bench/{uuid.uuid4().hex[:8]}",
        }
        try:
            done = subprocess.run(
                [sys.executable, *command],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TrunklineError(f"{name} did not end within {_TIMEOUT_S} s") from None
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise TrunklineError(f"{name} measured nothing:\n{done.stderr[-2000:]}")
        measured: dict[str, Any] = json.loads(lines[-1])
        return measured


def median_row(contestant: str, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the round with the median speed as a row, with all rounds' speeds beside it."""
    ordered = sorted(rounds, key=lambda r: r["seconds"])
    middle = ordered[len(ordered) // 2]
    return {
        "contestant": contestant,
        "events_per_s": round(middle["handled"] / middle["seconds"]),
        "seconds": middle["seconds"],
        "cpu_s": middle["cpu_s"],
        "rss_mb": middle["rss_mb"],
        "rounds": [round(r["handled"] / r["seconds"]) for r in rounds],
    }
