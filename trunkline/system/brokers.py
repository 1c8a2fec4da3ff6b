"""What the brokers know that no worker does: where groups stand, also those without any worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from mode import Service

from trunkline.connection import KafkaConnection
from trunkline.delivery.tail_client import end_client, start_client
from trunkline.topics.connecting import quiet_aiokafka, why_no_answer
from trunkline.topology import Topology

logger = logging.getLogger(__name__)

#: How often the brokers are asked, and how long they may take.
ASK_S = 5.0
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Place:
    """A partition that a group reads: the first offset, the end, and what the group committed."""

    begin: int
    end: int
    committed: int | None = None

    @property
    def lag(self) -> int:
        """How many offsets the group has not committed."""
        return max(0, self.end - max(self.begin, self.committed or 0))


@dataclass(frozen=True)
class Copies:
    """Where a partition's copies are: ids of brokers."""

    leader: int
    replicas: tuple[int, ...] = ()
    in_sync: tuple[int, ...] = ()


@dataclass(frozen=True)
class BrokersView:
    """One reading.

    Attributes:
        at_s: When (Unix time); 0 before the first one.
        groups: Real group → topic and partition → where it stands.
        ends: Topic and partition → end of every topic of the topology.
        begins: The same, for their first offsets.
        copies: Topic and partition → leader and copies of every topic of the topology.
        brokers: Brokers that are up.
        under_replicated: Partitions that lack in-sync copies, as ``topic[partition]``.
        leaderless: Partitions without a leader: nobody can write or read them.
        missing: Topics of the topology that do not exist.
        error: Why there is no newer reading; empty when there is.

    """

    at_s: float = 0.0
    groups: Mapping[str, Mapping[tuple[str, int], Place]] = field(default_factory=dict)
    ends: Mapping[tuple[str, int], int] = field(default_factory=dict)
    begins: Mapping[tuple[str, int], int] = field(default_factory=dict)
    copies: Mapping[tuple[str, int], Copies] = field(default_factory=dict)
    brokers: int = 0
    under_replicated: tuple[str, ...] = ()
    leaderless: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    error: str = ""

    def lag(self, group: str, topic: str | None = None) -> int | None:
        """Return a group's lag on what it reads, or on one topic; None when it is not known."""
        places = self.groups.get(group)
        if places is None:
            return None
        return sum(place.lag for (name, _), place in places.items() if topic in (None, name))

    def size(self, topic: str) -> int:
        """Return how many offsets a topic has, gaps included."""
        return sum(
            end - self.begins.get(place, 0) for place, end in self.ends.items() if place[0] == topic
        )


class Brokers(Service):
    """Ask the brokers every five seconds; keep the last answer.

    Args:
        connection: How to reach Kafka.
        topology: Which groups and topics there are.
        client_id: Name for the brokers' logs.

    """

    mundane_level = "debug"

    def __init__(
        self,
        connection: KafkaConnection,
        topology: Topology,
        *,
        client_id: str,
        on_view: Callable[[BrokersView], None] = lambda _: None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.view = BrokersView()
        self._connection = connection
        self._topology = topology
        self._client_id = client_id
        self._on_view = on_view
        self._task: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Begin to ask; does not wait for the brokers."""
        self._task = asyncio.create_task(self._ask_forever(), name="brokers")

    async def on_stop(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask_forever(self) -> None:
        while True:
            try:
                await self._ask_while_it_works()
            except TimeoutError:
                self._note(f"Kafka at {self._connection} does not answer in time")
            except (KafkaConnectionError, OSError):
                self._note(await why_no_answer(self._connection))
            except KafkaError as error:
                self._note(str(error) or type(error).__name__)
            except Exception as error:
                logger.exception("Asking the brokers failed; it is tried again")
                self._note(repr(error))
            await asyncio.sleep(ASK_S)

    def _note(self, reason: str) -> None:
        self.view = replace(self.view, error=reason)
        self._on_view(self.view)

    async def _ask_while_it_works(self) -> None:
        options: dict[str, Any] = {
            **self._connection.options(),
            "client_id": self._client_id,
            "request_timeout_ms": int(_TIMEOUT_S * 1000),
        }
        # Ends as a group sees them: what is in an open transaction is not there yet.
        consumer = AIOKafkaConsumer(isolation_level="read_committed", **options)
        admin = AIOKafkaAdminClient(**options)
        try:
            with quiet_aiokafka():
                await start_client(consumer)
                await admin.start()
                while True:
                    async with asyncio.timeout(_TIMEOUT_S):
                        self.view = await read_brokers(consumer, admin, self._topology)
                    self._on_view(self.view)
                    await asyncio.sleep(ASK_S)
        finally:
            await end_client(consumer)
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await admin.close()


async def read_brokers(consumer: Any, admin: Any, topology: Topology) -> BrokersView:
    """Ask once.

    Args:
        consumer: A started consumer without a group.
        admin: A started admin client.
        topology: Which groups and topics there are.

    Raises:
        KafkaError: The brokers are away, or refuse.

    """
    client = consumer._client
    # Asks for all topics: to ask for one by name could create it.
    cluster = await client.fetch_all_metadata()
    names = [topic.name for topic in topology.topics()]
    known = {name: cluster._partitions[name] for name in names if name in cluster.topics()}
    await client.set_topics(list(known))
    partitions = [each for name in known for each in known[name].values()]
    led = [TopicPartition(p.topic, p.partition) for p in partitions if p.leader >= 0]
    begins = await consumer.beginning_offsets(led) if led else {}
    ends = await consumer.end_offsets(led) if led else {}
    groups = {}
    for group, topics in groups_of(topology).items():
        committed = await admin.list_consumer_group_offsets(group)
        groups[group] = {
            (p.topic, p.partition): _place(p, begins, ends, committed)
            for p in led
            if p.topic in topics
        }
    return BrokersView(
        at_s=time.time(),
        groups=groups,
        ends={(p.topic, p.partition): end for p, end in ends.items()},
        begins={(p.topic, p.partition): begin for p, begin in begins.items()},
        copies={
            (p.topic, p.partition): Copies(p.leader, tuple(p.replicas), tuple(p.isr))
            for p in partitions
        },
        brokers=len(cluster.brokers()),
        under_replicated=_names(p for p in partitions if len(p.isr) < len(p.replicas)),
        leaderless=_names(p for p in partitions if p.leader < 0),
        missing=tuple(name for name in names if name not in known),
    )


def groups_of(topology: Topology) -> dict[str, list[str]]:
    """Return the real names of the groups, and of the topics whose events they handle."""
    letters = [topic.name for topic in topology.dead_letters_topics()]
    found: dict[str, list[str]] = {}
    for declared in topology.services:
        service = topology.service(declared.name)
        if service.group:
            reads = [topology.real_name(name) for name in service.reads]
            found[service.group] = reads + (letters if service.reads_dead_letters else [])
    return found


def _place(
    where: TopicPartition, begins: Any, ends: Any, committed: Mapping[TopicPartition, Any]
) -> Place:
    at = committed.get(where)
    offset = at.offset if at is not None and at.offset >= 0 else None
    return Place(begins[where], ends[where], offset)


def _names(partitions: Any) -> tuple[str, ...]:
    return tuple(sorted(f"{p.topic}[{p.partition}]" for p in partitions))
