"""Pods that write journals (tests/support/pods/journal.py), their topics, and what they wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from models import UserRegistered
from tests.support.kafka import read_all
from tests.support.offsets import committed_offsets, wait_all_committed
from tests.support.pods import JOURNAL_GROUP
from tests.support.waiting import eventually
from tests.support.worker import Worker
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Service, Topic, Topology

APP = "tests.support.pods.journal"
_SEND_AT_ONCE = 5_000


class Entry(NamedTuple):
    """One line of a journal; the clock is the same for all processes."""

    what: str
    at_s: float
    partition: int
    offset: int
    attempt: int
    key: str

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset."""
        return self.partition, self.offset


class JournalGroup:
    """A group of journal pods with topics of its own."""

    def __init__(self, servers: str, namespace: str, folder: Path) -> None:
        topology = _topology(namespace, 1)
        self.servers = servers
        self.namespace = namespace
        self.folder = folder
        self.topic = topology.real_name(AUTH_REGISTERED)
        self.group = topology.real_name(JOURNAL_GROUP)
        self.topology = topology
        self.failures = topology.failures_topic(self.group).name
        self.dead_letters = topology.dead_letters_topic(AUTH_REGISTERED).name
        self.pods: list[Worker] = []
        #: Handlers told to wait at the gate go on once this file is there.
        self.gate = folder / "gate"

    async def create_topics(self, partitions: int = 3) -> None:
        """Make the topic of the events and the one of the failures, as the product would."""
        await apply(KafkaConnection.plaintext(self.servers), _topology(self.namespace, partitions))

    async def publish(self, orders: Iterable[tuple[str, str]], partition: int | None = None) -> int:
        """Publish events of (key, what the handler shall do); return how many."""
        records = [
            OutRecord(self.topic, event(key, order), key=key.encode(), partition=partition)
            for key, order in orders
        ]
        await publish(self.servers, records)
        return len(records)

    def start(self, name: str = "pod-1", *, app: str = APP, **env: object) -> Worker:
        """Start a pod."""
        journal = self.folder / f"{name}.journal"
        env = {"POD_JOURNAL": journal, "POD_GATE": self.gate, **env}
        pod = Worker(self.folder, self.servers, self.namespace, app=app, name=name, **env)
        self.pods.append(pod)
        return pod.start()

    def entries(self, *names: str) -> list[Entry]:
        """Return what the pods (all, unless named) have written, pod by pod."""
        files = sorted(self.folder.glob("*.journal"))
        return [
            entry for file in files if not names or file.stem in names for entry in _parse(file)
        ]

    def ended(self, *names: str) -> Counter[tuple[int, int]]:
        """Return how often each event was handled to its end, by partition and offset."""
        return Counter(entry.place for entry in self.entries(*names) if entry.what == "end")

    def count(self, what: str = "end") -> int:
        """Return how many such lines there are, repetitions included; quick."""
        word = f"{what} ".encode()
        return sum(file.read_bytes().count(word) for file in self.folder.glob("*.journal"))

    async def wait_handled(self, count: int, timeout_s: float = 60) -> None:
        """Wait until so many different events were handled."""

        def handled() -> bool:
            return self.count() >= count and len(self.ended()) >= count

        await eventually(handled, timeout_s, f"{count} events to be handled")

    async def committed(self) -> dict[int, int]:
        """Return the group's committed offset of each partition that has one."""
        return await committed_offsets(self.servers, self.group, self.topic)

    async def wait_committed(self, timeout_s: float = 20) -> None:
        """Wait until everything that stands in the topic is committed."""
        await wait_all_committed(self.servers, self.group, self.topic, timeout_s)

    async def dead(self) -> list[ConsumerRecord[Any, Any]]:
        """Return the dead letters."""
        return await read_all(self.servers, self.dead_letters)

    async def failed(self) -> list[ConsumerRecord[Any, Any]]:
        """Return what stands in the failures topic."""
        return await read_all(self.servers, self.failures)


@contextmanager
def journal_group(servers: str, namespace: str, folder: Path) -> Iterator[JournalGroup]:
    """Give a group; its pods are killed at the end."""
    group = JournalGroup(servers, namespace, folder)
    try:
        yield group
    finally:
        for pod in group.pods:
            pod.kill()


def _topology(namespace: str, partitions: int) -> Topology:
    service = Service("journal", "consumer", JOURNAL_GROUP, reads=(AUTH_REGISTERED,))
    return Topology(namespace, (service,), (Topic(AUTH_REGISTERED, partitions, UserRegistered),))


def event(key: str, order: str) -> bytes:
    """Return an event whose email tells the handler what to do."""
    return b'{"userId": "%b", "email": "%b@example.com"}' % (key.encode(), order.encode())


async def publish(servers: str, records: list[OutRecord]) -> None:
    """Publish records in their order, all acknowledged."""
    producer = RecordProducer(KafkaConnection.plaintext(servers), "tests")
    await producer.start()
    try:
        for first in range(0, len(records), _SEND_AT_ONCE):
            await producer.send_many(records[first : first + _SEND_AT_ONCE])
    finally:
        await producer.stop()


def repeated(ended: Counter[tuple[int, int]]) -> int:
    """Return how many times an event was handled once more than needed."""
    return sum(ended.values()) - len(ended)


def _parse(file: Path) -> Iterator[Entry]:
    text = file.read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():
        what, at_s, partition, offset, attempt, key = line.split(" ", 5)
        yield Entry(what, float(at_s), int(partition), int(offset), int(attempt), key)
