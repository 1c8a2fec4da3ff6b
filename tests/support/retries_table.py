"""A retries table as a pod has it, without the rest of the pod."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aiokafka.admin import NewTopic

from models.failures import WIRE_VERSION, ErrorInfo, EventId, RetryEntry, RetryState
from tables.retries import RetriesTable, retries_table
from tests.support.kafka import admin
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.faust_tables import TableManager
from trunkline.retries.store import OpenPartition
from trunkline.settings import Settings
from trunkline.topology import Topology

GROUP = "db-server-group"


async def create_changelog(kafka: str, namespace: str) -> str:
    """Make the changelog as the topology declares it, and return its name."""
    topic = Topology(namespace).retries_changelog(GROUP)
    configs = {
        "cleanup.policy": topic.cleanup_policy,
        "max.message.bytes": str(topic.max_message_bytes),
    }
    async with admin(kafka) as client:
        await client.create_topics(
            [NewTopic(topic.name, topic.partitions, 1, topic_configs=configs)]
        )
    return topic.name


def make_table(kafka: str, namespace: str, data_dir: Path, pod: str = "pod-1") -> RetriesTable:
    """Return the table of one pod."""
    topology = Topology(namespace)
    settings = Settings(
        KAFKA_BOOTSTRAP_SERVERS=kafka, TRUNKLINE_POD=pod, namespace=namespace, data_dir=data_dir
    )
    app = DeliveryApp(topology.real_name(GROUP), settings, TableManager=TableManager)
    return retries_table(app, topology, GROUP)


def event_id(number: int) -> EventId:
    """Return the id of an event."""
    return EventId("auth.registered", number % 3, number, 1_700_000_000_000 + number)


def make_entry(number: int, value: bytes = b"{}", attempts: int = 1) -> RetryEntry:
    """Return a waiting event."""
    return RetryEntry(
        version=WIRE_VERSION,
        id=event_id(number),
        key=b"key-%d" % (number % 100),
        value=value,
        headers=(("traceparent", b"00-1-2-01"),),
        held=True,
        order=number,
        redrives=0,
        left_out_bytes=0,
        state=state_of(attempts),
    )


def state_of(attempts: int) -> RetryState:
    """Return the state after some attempts."""
    error = ErrorInfo("transient", "builtins.OSError", "away", "", 1_700_000_000_000)
    return RetryState(attempts, 1_700_000_001_000 + attempts, error, error)


def waiting(partition: OpenPartition) -> dict[int, int]:
    """Return what waits: number of the event to its attempts."""
    return {entry.id.offset: entry.state.attempts for entry in partition.entries()}


def ids(numbers: Iterable[int]) -> list[EventId]:
    """Return the ids of events."""
    return [event_id(number) for number in numbers]
