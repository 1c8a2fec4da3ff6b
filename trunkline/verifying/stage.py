"""Where one pattern plays: topics, a folder and pods of its own, and the means to count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from models import Event
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordMetadata, RecordProducer
from trunkline.topics import apply
from trunkline.topology import SERVICES, TOPICS, Topology
from trunkline.verifying.database import ServiceDatabase
from trunkline.verifying.observer import Observer
from trunkline.verifying.snapshot import Snapshot
from trunkline.verifying.workers import WorkerError, WorkerProcess

#: How long a count may take to become what is expected.
SETTLE_TIMEOUT_S = 60.0
_POLL_S = 0.1
_METADATA_MAX_AGE_S = 1.0

Count = Callable[[], Awaitable[dict[str, Any]]]


class Stage:
    """One pattern's own part of a cluster; use it with ``async with``.

    Topics, groups and services are named as in the topology; the namespace is put before them here.

    Attributes:
        topology: The declaration, as far as the pattern's services need it.
        connection: How to reach Kafka.
        observer: Kafka's own account, in real names.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        namespace: str,
        directory: Path,
        services: Sequence[str],
        *,
        keep: bool = False,
        settle_timeout_s: float = SETTLE_TIMEOUT_S,
    ) -> None:
        """Describe a stage; nothing is made.

        Args:
            connection: How to reach Kafka.
            namespace: Put before its topics and groups; nobody else may use it.
            directory: Folder of its pods' logs and data.
            services: Those that take part.
            keep: Whether its topics stay afterwards.
            settle_timeout_s: How long a count may take to become what is expected.

        """
        self.topology = _topology_of(namespace, services)
        self.connection = connection
        self._directory = directory
        self._keep = keep
        self._settle_timeout_s = settle_timeout_s
        self._pods: list[WorkerProcess] = []
        self._stack = AsyncExitStack()
        self.observer = Observer(connection)
        self._producer = RecordProducer(
            connection, f"verify.{namespace}", metadata_max_age_s=_METADATA_MAX_AGE_S
        )

    async def __aenter__(self) -> Stage:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.observer)
            stack.push_async_callback(self._delete_topics)
            await apply(self.connection, self.topology)
            await self._producer.start()
            stack.push_async_callback(self._producer.stop)
            stack.callback(self._kill_pods)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        # To its end, however often it is cancelled: no worker and no topic is left behind.
        closing = asyncio.create_task(self._stack.aclose())
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.wait({closing})
            except asyncio.CancelledError as told:
                cancelled = told
        await closing
        if cancelled is not None:
            raise cancelled

    # -- pods

    def pods(self, service: str, count: int, **env: str) -> list[WorkerProcess]:
        """Make the pods of a service, named ``<service>-1`` and so on; none is started.

        Args:
            service: Its name.
            count: How many.
            env: More environment variables for each.

        """
        made = [
            WorkerProcess(
                service,
                servers=",".join(self.connection.servers),
                namespace=self.topology.namespace,
                directory=self._directory,
                pod=f"{service}-{number}",
                env=env,
            )
            for number in range(1, count + 1)
        ]
        self._pods += made
        return made

    def adopt(self, pod: WorkerProcess) -> WorkerProcess:
        """Take a pod that was made elsewhere: it ends with the stage."""
        self._pods.append(pod)
        return pod

    async def start(self, *pods: WorkerProcess) -> None:
        """Start pods side by side, and wait until all of them are ready.

        Raises:
            WorkerError: One ended, or was not ready in time.

        """
        for pod in pods:
            pod.start()
        await asyncio.gather(*(pod.wait_ready() for pod in pods))

    async def look(self, *pods: WorkerProcess) -> list[Snapshot]:
        """Ask pods for their state, all at once.

        Raises:
            WorkerError: One does not answer.

        """
        found = await asyncio.gather(*(pod.stats() for pod in pods))
        return [Snapshot.of(stats, self.topology) for stats in found]

    async def wait_shared(self, topic: str, *pods: WorkerProcess) -> None:
        """Wait until each pod has some of the topic's partitions; whether it has is counted later.

        Pods that start together may join their group one after the other.
        """

        async def count() -> dict[str, Any]:
            return {"pods": sum(bool(one.has(topic)) for one in await self.look(*pods))}

        await self.settle({"pods": len(pods)}, count)

    # -- events

    async def publish(self, topic: str, events: Sequence[Event]) -> list[RecordMetadata]:
        """Publish events; return where each one is when all are acknowledged.

        Raises:
            PublishError: Some are not.

        """
        name = self.topology.topic(topic).name
        records = [OutRecord(name, msgspec.json.encode(event), event.key) for event in events]
        return await self.send(records)

    async def send(self, records: Sequence[OutRecord]) -> list[RecordMetadata]:
        """Publish records as they are, bad ones too; as :meth:`publish` else."""
        return await self._producer.send_many(records)

    @asynccontextmanager
    async def publishing(
        self, topic: str, make: Callable[[int], Event], per_batch: int = 20
    ) -> AsyncIterator[list[RecordMetadata]]:
        """Publish steadily, about 200 events a second, for as long as the block runs.

        Yields:
            Where the acknowledged events are; it grows, and is complete after the block.

        """
        sent: list[RecordMetadata] = []
        done = asyncio.Event()

        async def publish() -> None:
            while not done.is_set():
                first = len(sent)
                sent.extend(await self.publish(topic, [make(first + i) for i in range(per_batch)]))
                await asyncio.sleep(_POLL_S)

        publisher = asyncio.create_task(publish())
        try:
            yield sent
        finally:
            done.set()
            await publisher

    # -- counting

    def database(self, service: str) -> ServiceDatabase:
        """Return what a service has stored."""
        return ServiceDatabase(self._directory / "data" / f"{service}.sqlite")

    async def committed(self, service: str, topic: str) -> int:
        """Return the sum of the offsets that a service's group has committed for a topic."""
        group = self.topology.service(service).group
        assert group is not None
        found = await self.observer.committed(group, self.topology.topic(topic).name)
        return sum(found.values())

    async def stored_users(self, topic: str) -> dict[str, Any]:
        """Return db-server's rows and users, and what its group has committed for a topic."""
        committed = await self.committed("db-server", topic)
        return {**self.database("db-server").users(), "committed": committed}

    async def settle(
        self, expected: dict[str, Any], count: Count, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Count until it is as expected; return the last count, whatever it is.

        Args:
            expected: What it should become.
            count: Counts once.
            timeout_s: When to give up; None is the stage's own limit.

        Raises:
            WorkerError, KafkaError: The last attempt to count failed.

        """
        limit_s = self._settle_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        while True:
            try:
                counted = await count()
                if counted == expected or time.monotonic() > deadline:
                    return counted
            except (WorkerError, KafkaError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_POLL_S)

    # -- the end

    def _kill_pods(self) -> None:
        for pod in self._pods:
            pod.kill()

    async def _delete_topics(self) -> None:
        if not self._keep:
            await self.observer.delete_topics([topic.name for topic in self.topology.topics()])


def _topology_of(namespace: str, services: Sequence[str]) -> Topology:
    """Return the declaration cut down to what these services need."""
    taking_part = tuple(service for service in SERVICES if service.name in services)
    needed = {
        name
        for service in taking_part
        for name in (*service.reads, *service.publishes, *service.relays_to)
    }
    topics = tuple(topic for topic in TOPICS if topic.name in needed)
    return Topology(namespace, taking_part, topics)
