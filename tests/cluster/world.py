"""Workers under load on the cluster, what was seen of them, and where every event ended."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections import defaultdict
from contextlib import AsyncExitStack, closing
from pathlib import Path

from aiokafka.errors import KafkaError

from tests.support.waiting import eventually
from trunkline.broker import EmbeddedBroker
from trunkline.connection import KafkaConnection
from trunkline.soak.account import draw_up
from trunkline.soak.fates import RETRIES, Shares, refuse_rows
from trunkline.soak.load import Load
from trunkline.soak.rest import all_open
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError, WorkerProcess

#: A pod that Kafka hears nothing of loses its partitions after this.
SESSION_S = 6
PER_S = 150
SETTINGS = {
    **RETRIES,
    "TRUNKLINE_SESSION_TIMEOUT_S": str(SESSION_S),
    "TRUNKLINE_PUBLISH_TIMEOUT_S": "4",
}
#: Some events fail for a while, some for ever, and some are no events.
SHARES = Shares(flaky=0.03, hopeless=0.01, invalid=0.01)
#: How much must be published and handled for it to count as recovered.
_ENOUGH = PER_S
PATIENCE_S = 60.0


class World:
    """auth-service, two pods of db-server, and a load; use it with ``async with``.

    Attributes:
        stage: Topics and pods.
        publisher: The auth-service.
        pods: Those of db-server.
        settings: Of the pods that are made.
        load: Posts to the publisher, once it is begun.
        lines: What was seen, a line for each fault.

    """

    def __init__(self, cluster: EmbeddedBroker, namespace: str, folder: Path) -> None:
        connection = KafkaConnection.plaintext(cluster.bootstrap_servers)
        self.cluster = cluster
        self.folder = folder
        self.stage = Stage(connection, namespace, folder, ("auth-service", "db-server"))
        self.settings = dict(SETTINGS)
        self.lines: list[str] = []
        self.pods: list[WorkerProcess] = []
        self._stack = AsyncExitStack()
        self._pids: dict[WorkerProcess, int] = {}

    async def __aenter__(self) -> World:
        await self._stack.enter_async_context(self.stage)
        [self.publisher] = self.stage.pods("auth-service", 1, **self.settings)
        self.load = Load(self.stage, {AUTH_REGISTERED: self.publisher}, PER_S, 7, SHARES)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def begin(self) -> None:
        """Start the pods (two, with one that was given) and the load; wait until all flows."""
        self.pods += self.stage.pods("db-server", 2 - len(self.pods), **self.settings)
        await self.stage.start(self.publisher, *self.pods)
        refuse_rows(self.folder / "data", ("db-server",))
        self.note_pids()
        self._running = asyncio.create_task(self.load.run())
        await self.flows()

    def note_pids(self) -> None:
        """Remember the processes that run: none of them may end by itself."""
        self._pids = {pod: pod.pid for pod in (self.publisher, *self.pods)}

    def times(self) -> list[tuple[int, float]]:
        """Return partition and Unix time of each event that was stored, in order of time."""
        file = self.folder / "data" / "db-server.sqlite"
        query = 'SELECT "partition", stored_at_ms FROM registered_users ORDER BY stored_at_ms'
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            return [(partition, at_ms / 1000) for partition, at_ms in connection.execute(query)]

    def stored(self) -> int:
        """Return how many events were stored."""
        return self.stage.database("db-server").users()["rows"]

    async def flows(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until more is published, and more is handled in every partition, from now on."""
        published, now = self.load.count, time.time()
        partitions = self.stage.topology.topic(AUTH_REGISTERED).partitions

        def flowing() -> bool:
            if self._running.done():
                self._running.result()
            since = [partition for partition, at in self.times() if at > now]
            return (
                self.load.count > published + _ENOUGH
                and len(since) > _ENOUGH
                and len(set(since)) == partitions
            )

        await eventually(flowing, timeout_s, "events to be published and handled again")

    def fault(self, name: str) -> Fault:
        """Measure what a fault does, until it is recovered from."""
        self._check_alive()
        return Fault(self, name)

    async def account(self) -> None:
        """End the load, let everything come to rest, and count; nothing may be lost or stuck."""
        self.load.end()
        await asyncio.wait_for(self._running, PATIENCE_S)
        began = time.monotonic()
        await eventually(self._is_at_rest, PATIENCE_S, "lag and retries to be 0")
        rest_s = time.monotonic() - began
        self._check_alive()
        for pod in self._pids:
            assert await pod.stop() == 0, pod.log_tail()
            assert not tracebacks(pod), f"{pod.pod} has tracebacks:\n{tracebacks(pod)[0]}"
        account = await draw_up(self.stage, self.load.acknowledged, ("db-server",))
        assert account.ok, f"{account.wrong} {account.examples}"
        handled, dead = account.handled["db-server"], account.dead["db-server"]
        assert handled + dead == account.events
        self.lines.append(
            f"  {account.acknowledged} acknowledged, {account.events} in the topic: {handled} "
            f"handled, {dead} dead letters, 0 lost, 0 twice; at rest {rest_s:.1f} s after the load"
        )

    def _check_alive(self) -> None:
        for pod, pid in self._pids.items():
            assert pod.running, f"{pod.pod} ended:\n{pod.log_tail()}"
            assert pod.pid == pid

    async def _is_at_rest(self) -> bool:
        topic = self.stage.topology.topic(AUTH_REGISTERED).name
        try:
            ends = await self.stage.observer.ends(topic)
            committed = await self.stage.committed("db-server", AUTH_REGISTERED)
            retries = [(await pod.stats())["retries"] for pod in self.pods]
        except (WorkerError, KafkaError):
            return False  # somebody is too busy to answer
        waiting = sum(one["waiting"] + (one["lag"] or 0) for one in retries)
        return committed == sum(ends.values()) and waiting == 0 and all_open(retries)


class Fault:
    """One fault, from its beginning until events flow again."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    async def __aenter__(self) -> Fault:
        self._world.load.pause.begin()
        self._began = time.time()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        await self._world.flows()
        self._world.lines.append(
            f"{self._name}: longest time without an acknowledgement "
            f"{self._world.load.pause.longest_s:.1f} s, without a handled event of a partition "
            f"{self.pause_s():.1f} s"
        )

    def pause_s(self) -> float:
        """Return the longest time in which nothing of some partition was stored."""
        moments = defaultdict(lambda: [self._began])
        for partition, at in self._world.times():
            if at > self._began:
                moments[partition].append(at)
        pauses = [b - a for times in moments.values() for a, b in itertools.pairwise(times)]
        return max(pauses)


def tracebacks(pod: WorkerProcess) -> list[str]:
    """Return a pod's tracebacks, without those of aiokafka's tasks that nobody waited for."""
    before, *found = pod.log_file.read_text(errors="replace").split("Traceback (most recent")
    told = []
    for text in found:
        if "never retrieved" not in "".join(before.splitlines()[-2:]):
            told.append(text[:3000])
        before = text
    return told


async def replicated(cluster: EmbeddedBroker, timeout_s: float = 60) -> float:
    """Wait until every replica is in sync; returns the seconds that it took."""
    from aiokafka.admin import AIOKafkaAdminClient

    began = time.monotonic()
    client = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    await client.start()
    try:

        async def all_in_sync() -> bool:
            topics = await client.describe_topics()
            return all(
                len(partition["isr"]) == len(partition["replicas"])
                for topic in topics
                for partition in topic["partitions"]
            )

        await eventually(all_in_sync, timeout_s, "all replicas to be in sync")
    finally:
        await client.close()
    return time.monotonic() - began
