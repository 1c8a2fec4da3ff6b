"""What the retries need of the durable table in which failed events wait.

The table itself is ``tables/retries.py``: RocksDB on the pod, its changelog in Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from models.failures import EventId, RetryEntry, RetryState
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import TrunklineError


class StoreLostError(TrunklineError):
    """A commit failed, or its outcome is unknown, or another pod has the partition: open it anew.

    What stands in the changelog is the truth; the next ``open`` reads it.
    """


@dataclass
class Changes:
    """What one transaction changes; all of it becomes visible and durable, or nothing.

    Attributes:
        entries: New waiting events.
        states: Newest state of events that wait already.
        gone: Events that are through: handled, forwarded to dead letters, or discarded.
        records: What goes to other topics in the same transaction: dead letters and releases.
        applied: Offset of the failures topic up to which every record's effect is in this or an
            earlier transaction; None when it has not moved.

    """

    entries: list[RetryEntry] = field(default_factory=list)
    states: dict[EventId, RetryState] = field(default_factory=dict)
    gone: list[EventId] = field(default_factory=list)
    records: list[OutRecord] = field(default_factory=list)
    applied: int | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(
            self.entries or self.states or self.gone or self.records or self.applied is not None
        )


class OpenPartition(Protocol):
    """One partition of the table, recovered, and fenced against every earlier owner."""

    @property
    def applied(self) -> int:
        """Offset of the failures topic up to which everything is applied; -1 for nothing."""

    def entries(self) -> Iterator[RetryEntry]:
        """Return all waiting events with their newest states, in no order."""

    def get(self, event: EventId) -> RetryEntry | None:
        """Return a waiting event with its newest state."""

    async def commit(self, changes: Changes) -> None:
        """Commit changes in one Kafka transaction, then note them on the disk.

        Raises:
            StoreLostError: See there; this object is of no use any more.

        """

    async def close(self) -> None:
        """Let go of the files and the producer, within about two seconds."""


class RetryStore(Protocol):
    """The retries table of a group, as far as this pod has its partitions."""

    async def open(self, partition: int) -> OpenPartition:
        """Take a partition over: fence its earlier owner, and recover what waits.

        Raises:
            BrokerError: Kafka is away.

        """
