"""A retries table in memory that survives its owner: transactions, fencing, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from models.failures import EventId, RetryEntry
from trunkline.delivery.producer_call import OutRecord
from trunkline.retries.store import Changes, StoreLostError


class MemoryStore:
    """What stands in Kafka.

    Attributes:
        entries: Waiting events of all partitions, newest states merged.
        records: What went to other topics: dead letters and releases.
        commits: How many transactions there were.
        faults: What the next commits do, one after the other: ``""`` works, ``before`` fails
            without effect, ``after`` takes effect and fails (its outcome is unknown).

    """

    def __init__(self) -> None:
        self.entries: dict[EventId, RetryEntry] = {}
        self.applied = -1
        self.records: list[OutRecord] = []
        self.commits = 0
        self.opened = 0
        self.faults: list[str] = []
        self.owner: MemoryPartition | None = None

    async def open(self, partition: int) -> MemoryPartition:
        """Take over; the earlier owner can commit nothing any more."""
        await asyncio.sleep(0)
        self.opened += 1
        self.owner = MemoryPartition(self)
        return self.owner


class MemoryPartition:
    """One owner's view."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.applied = store.applied
        self._entries = dict(store.entries)

    def entries(self) -> Iterator[RetryEntry]:
        """Return all waiting events."""
        return iter(list(self._entries.values()))

    def get(self, event: EventId) -> RetryEntry | None:
        """Return a waiting event."""
        return self._entries.get(event)

    async def commit(self, changes: Changes) -> None:
        """Apply changes, or fail as told."""
        await asyncio.sleep(0)
        store = self._store
        fault = store.faults.pop(0) if store.faults else ""
        if store.owner is not self or fault == "before":
            raise StoreLostError("told to fail" if fault else "fenced")
        store.commits += 1
        for entry in changes.entries:
            store.entries[entry.id] = entry
        for event, state in changes.states.items():
            store.entries[event] = msgspec.structs.replace(store.entries[event], state=state)
        for event in changes.gone:
            store.entries.pop(event, None)
        if changes.applied is not None:
            store.applied = changes.applied
        store.records += changes.records
        if fault == "after":
            raise StoreLostError("told to fail after the commit")
        self._entries = dict(store.entries)

    async def close(self) -> None:
        """Let go."""
