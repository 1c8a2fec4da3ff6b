"""Tell a group's workers what to do with waiting events: records on its failures topic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from trunkline.connection import KafkaConnection
from trunkline.delivery.failure import (
    DISCARD,
    NOW,
    OFFSET,
    PARTITION,
    RECORD,
    TIMESTAMP_MS,
    TOPIC,
)
from trunkline.delivery.producer import NotAcknowledgedError, OutRecord, RecordProducer
from trunkline.errors import PublishError
from trunkline.retries.inspection import WaitingEvent
from trunkline.topology import Topology

#: ``now``: due at once. ``discard``: dropped at its turn, neither handled nor a dead letter.
Command = Literal["now", "discard"]
_RECORDS: dict[Command, str] = {"now": NOW, "discard": DISCARD}

_STOP_S = 2.0
_PER_CALL = 5_000


def hurriable(events: Iterable[WaitingEvent]) -> list[WaitingEvent]:
    """Return those that ``now`` is for: what is parked follows its head, in order, by itself."""
    return [event for event in events if not event.parked and not event.entry.state.discarded]


def command_record(topology: Topology, event: WaitingEvent, command: Command) -> OutRecord:
    """Return the command for an event: no key and no value, for the partition where it waits."""
    headers = (
        (RECORD, _RECORDS[command]),
        (TOPIC, event.id.topic),
        (PARTITION, str(event.id.partition)),
        (OFFSET, str(event.id.offset)),
        (TIMESTAMP_MS, str(event.id.timestamp_ms)),
    )
    return OutRecord(
        topology.failures_topic(event.group).name,
        None,
        headers=[(name, value.encode()) for name, value in headers],
        partition=event.partition,
    )


async def send_commands(
    connection: KafkaConnection,
    topology: Topology,
    events: Iterable[WaitingEvent],
    command: Command,
    timeout_s: float = 10.0,
) -> int:
    """Send a command for each event; returns how many, once Kafka has acknowledged all.

    Raises:
        BrokerError: Kafka is away; nothing was sent.
        PublishError: It went away: the message says how many it has acknowledged.

    """
    records = [command_record(topology, event, command) for event in events]
    producer = RecordProducer(connection, "trunkline-retries", request_timeout_s=timeout_s)
    await producer.start()
    sent = 0
    try:
        for first in range(0, len(records), _PER_CALL):
            sent += len(await producer.send_many(records[first : first + _PER_CALL]))
    except NotAcknowledgedError as error:
        sent += sum(result is not None for result in error.results)
        raise PublishError(
            f"{error} Kafka has {sent} of {len(records)} commands; a command that comes twice does "
            "no harm, so run it again."
        ) from error
    finally:
        await producer.stop(_STOP_S)
    return sent
