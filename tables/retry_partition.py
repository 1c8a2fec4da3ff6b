"""One partition of the retries table while this pod owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aiokafka import TopicPartition
from msgspec.structs import replace

from models.failures import (
    APPLIED_KEY,
    EventId,
    RetryEntry,
    decode_entry,
    decode_offset,
    decode_state,
    entry_key,
    state_key,
)
from tables.retry_cache import EntryCache
from tables.retry_changes import Writes, new_entries, writes_of
from tables.retry_files import RetryFiles, UnreadableFilesError
from trunkline.delivery.fenced import FencedTransactions, TransactionLostError
from trunkline.delivery.producer_call import OutRecord, RecordMetadata
from trunkline.retries.store import Changes, StoreLostError


class RetriesPartition:
    """What waits in one partition: recovered, and fenced against every earlier owner.

    It is an ``OpenPartition`` of ``trunkline/retries/store.py``.

    Args:
        place: Of the changelog.
        files: In step with the changelog.
        transactions: Open, with the partition's own transactional id.
        cache: Shared with the pod's other partitions.
        on_close: Told when this is closed.

    """

    def __init__(
        self,
        place: TopicPartition,
        files: RetryFiles,
        transactions: FencedTransactions,
        cache: EntryCache,
        on_close: Callable[[RetriesPartition], None] = lambda _: None,
    ) -> None:
        self.partition = place.partition
        self.files = files
        self._changelog = place.topic
        self._transactions = transactions
        self._cache = cache
        self._on_close = on_close
        #: Why nothing can be committed any more.
        self._lost = ""
        self._turn = asyncio.Lock()
        applied = files.get(APPLIED_KEY)
        self._applied = -1 if applied is None else decode_offset(applied)

    def __str__(self) -> str:
        """Return the partition as messages name it."""
        return f"{self._changelog}[{self.partition}]"

    @property
    def applied(self) -> int:
        """Offset of the failures topic up to which everything is applied; -1 for nothing."""
        return self._applied

    def entries(self) -> Iterator[RetryEntry]:
        """Return all waiting events with their newest states, in no order.

        Raises:
            StoreLostError: A file is damaged; the next ``open`` makes it anew.

        """
        with self._as_lost():
            for entry, state in self.files.entries():
                yield _decode(entry, state)

    def get(self, event: EventId) -> RetryEntry | None:
        """Return a waiting event with its newest state.

        Raises:
            StoreLostError: A file is damaged; the next ``open`` makes it anew.

        """
        place = (self.partition, event)
        found = self._cache.get(place)
        if found is None:
            with self._as_lost():
                raw = self.files.get(entry_key(event))
                if raw is None:
                    return None
                found = _decode(raw, self.files.get(state_key(event)))
            self._cache.put(place, found)
        return found

    async def commit(self, changes: Changes) -> None:
        """Commit changes in one Kafka transaction, then note them on the disk.

        An event that stands in ``entries`` and in ``gone`` is gone.

        Raises:
            StoreLostError: See there; ``__cause__`` may be a ``TransactionLostError`` that says
                more. This object is of no use any more.

        """
        async with self._turn:
            if self._lost:
                raise StoreLostError(f"{self} was lost before: {self._lost}. Open it anew.")
            with self._as_lost():
                await self._commit(changes)

    async def _commit(self, changes: Changes) -> None:
        entries = new_entries(changes)
        writes = writes_of(changes, self.files.may_have, entries)
        topic, partition = self._changelog, self.partition
        records = [
            OutRecord(topic, value, key, (), None, partition) for key, value in writes.items()
        ]
        places = await self._transactions.transact(records + changes.records)
        if writes:  # nothing awaits between the commit and this
            self.files.commit(writes, _last_offset(places[: len(records)], writes))
        self._remember(changes, entries)

    def _remember(self, changes: Changes, entries: Sequence[RetryEntry]) -> None:
        cache, partition = self._cache, self.partition
        for event in changes.gone:
            cache.drop((partition, event))
        for event, state in changes.states.items():
            cache.note_state((partition, event), state)  # what is gone is not in it any more
        for entry in entries:
            cache.put((partition, entry.id), entry)
        if changes.applied is not None:
            self._applied = changes.applied

    @contextmanager
    def _as_lost(self) -> Iterator[None]:
        """Whatever ends the work in the middle ends this object: Kafka has the truth."""
        try:
            yield
        except GeneratorExit:
            raise  # of one who has seen enough of the entries
        except (TransactionLostError, UnreadableFilesError) as error:
            self._lost = str(error)
            raise StoreLostError(f"{self} is lost: {error} Open it anew.") from error
        except BaseException as error:
            self._lost = f"it ended with {error!r}"
            raise

    async def close(self) -> None:
        """Let go of the files and the producer, within about two seconds."""
        self._lost = self._lost or "it was closed"
        try:
            await self._transactions.close()
        finally:
            self._cache.drop_partition(self.partition)
            self._on_close(self)
            self.files.close()


def _decode(entry: bytes, state: bytes | None) -> RetryEntry:
    decoded = decode_entry(entry)
    return decoded if state is None else replace(decoded, state=decode_state(state))


def _last_offset(places: list[RecordMetadata], writes: Writes) -> int:
    """Return the last record's offset, -1 when the broker did not tell: they are read again."""
    assert len(places) == len(writes)
    offsets = [place.offset for place in places]
    return -1 if min(offsets) < 0 else max(offsets)
