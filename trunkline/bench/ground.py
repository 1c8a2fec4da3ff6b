"""The ground a benchmark runs on: topics of its own, and events that are there before."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from models import UserRegistered
from trunkline import topics
from trunkline.bench.contestant import Contestant
from trunkline.bench.ours import environment_of, our_worker
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import TrunklineError
from trunkline.topology import Service, Topic, Topology

_CHUNK = 10_000
_TIMEOUT_S = 180

#: Plain name of the topic that is read.
EVENTS = "events"


class Job(msgspec.Struct):
    """What a worker is to run, as the one argument of ``bench/measured.py``.

    Attributes:
        namespace: Of the topics.
        plain_group: Without the namespace.
        count: How many events there are.
        kind: ``one`` or ``batch`` (trivial), ``wait`` (sleeps, by key), or ``journal`` (writes down
            what it handles).
        concurrency: Keys at once.
        wait_ms: How long ``wait`` sleeps at most.
        share: How many of the events come to this worker; None is all.
        skipped: How many only warm it up; set, it measures how late the others come.
        journal: File of the kind ``journal``; it gets a line ``partition offset time`` for each.

    """

    namespace: str
    plain_group: str
    count: int
    kind: Literal["one", "batch", "wait", "journal"] = "one"
    concurrency: int = 1
    wait_ms: float = 5.0
    share: int | None = None
    skipped: int | None = None
    journal: str | None = None


def ground_topology(namespace: str, partitions: int, *groups: str) -> Topology:
    """Return a topic, and groups that read it, with all that each needs for its failures."""
    services = tuple(Service(group, "consumer", group, reads=(EVENTS,)) for group in groups)
    return Topology(namespace, services, (Topic(EVENTS, partitions, model=UserRegistered),))


def new_namespace() -> str:
    """Return a namespace that nobody has used."""
    return f"bench-{uuid.uuid4().hex[:8]}"


class Ground:
    """A topic with events, and groups that read it; all topics are deleted at the end."""

    def __init__(self, servers: str, partitions: int) -> None:
        self.servers = servers
        self.partitions = partitions
        self.namespace = new_namespace()
        self._groups: list[str] = []
        self.topic = self._topology().topic(EVENTS).name

    def _topology(self) -> Topology:
        return ground_topology(self.namespace, self.partitions, *self._groups)

    async def __aenter__(self) -> Ground:
        await self._apply()
        return self

    async def _apply(self) -> None:
        await topics.apply(KafkaConnection.plaintext(self.servers), self._topology())

    async def __aexit__(self, *_: object) -> None:
        await delete_topics(self.servers, self.namespace)

    async def preload(self, count: int, keys: int | None = None) -> None:
        """Publish events of the seed's size, keyed by user, spread evenly over ``keys`` users."""
        producer = RecordProducer(KafkaConnection.plaintext(self.servers), "bench.preload")
        await producer.start()
        try:
            for start in range(0, count, _CHUNK):
                numbers = range(start, min(start + _CHUNK, count))
                await producer.send_many([self._event(n % keys if keys else n) for n in numbers])
        finally:
            await producer.stop()

    def _event(self, user: int) -> OutRecord:
        return OutRecord(self.topic, event_value(user), key=b"%d" % user)

    def new_name(self) -> str:
        """Return a plain name for a group that nobody has used."""
        return f"group-{uuid.uuid4().hex[:8]}"

    async def new_group(self) -> str:
        """Return a group that has committed nothing, its topics made."""
        self._groups.append(f"group-{len(self._groups) + 1}")
        await self._apply()
        return self._groups[-1]

    async def run_job(self, job: Job) -> dict[str, Any]:
        """Run one of our workers until it has handled all events.

        Returns:
            ``handled``, ``distinct``, ``out_of_order``, ``seconds``, ``cpu_s`` and ``rss_mb``.

        Raises:
            TrunklineError: It failed, or did not end in time; or this is no clone of the
                repository.

        """
        name = f"trunkline, {job.kind}"
        command = [*our_worker(), msgspec.json.encode(job).decode()]
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
            environment = environment_of(self.servers, Path(folder))
            async with Contestant(name, command, environment) as worker:
                if not await worker.hears("ended_at", _TIMEOUT_S):
                    raise TrunklineError(
                        f"{name} did not end within {_TIMEOUT_S} s:\n{worker.log_tail()}"
                    )
                said = await worker.end()
                seconds = said["ended_at"] - said["began_at"]
                return {
                    **{n: said[n] for n in ("handled", "distinct", "out_of_order")},
                    "seconds": round(seconds, 4),
                    "cpu_s": round(worker.cpu_s, 3),
                    "rss_mb": round(worker.peak_mb, 1),
                }


def event_value(user: int) -> bytes:
    """Return an event of the seed's size."""
    return b'{"userId":"%d","email":"user%d@example.com"}' % (user, user)


async def delete_topics(servers: str, namespace: str) -> None:
    """Delete all topics of a namespace: also those that a contestant made for itself."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        there = await admin.list_topics()
        await admin.delete_topics([t for t in there if t.startswith(f"{namespace}.")])
    finally:
        await admin.close()


def median_row(contestant: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
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
