"""Hand failed events over to ``<group>.failures``, together with what is held because of them.

Both are written in one Kafka transaction: after a crash the next owner of the source partition
knows exactly which events were handed over, and which keys wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from models.failures import HeldKey, HeldRange, encode
from trunkline.delivery.failure import OFFSET, PARTITION, TOPIC, has_payload, without_payload
from trunkline.delivery.fenced import TransactionLostError
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.producer_call import OutRecord, RecordTooLargeError, check_sizes
from trunkline.errors import BrokerError, PublishError

logger = logging.getLogger(__name__)

_MAX_BATCH = 2_000
_MAX_BATCH_BYTES = 8 * 1024 * 1024
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_COMMIT_PAUSE_S = 0.02
_MEMBER_PAUSE_S = 0.05


class Transactions(Protocol):
    """What of :class:`trunkline.delivery.fenced.FencedTransactions` a hand-over needs."""

    async def open(self) -> None:
        """Connect; an open transaction of an earlier incarnation is ended."""

    async def transact(
        self, records: Sequence[OutRecord], may_commit: Callable[[], bool]
    ) -> object:
        """Write all of these records, or none; none when it may not be committed at the end."""

    async def close(self) -> None:
        """Let go."""


class Replica(Protocol):
    """What of :class:`trunkline.delivery.held_keys.HeldKeys` a hand-over needs."""

    def get(self, key: HeldKey) -> HeldRange | None:
        """Return a hold as it stands on the topic."""

    async def read_to_end(self) -> None:
        """Return when all that is committed there has been read."""


class Handed(NamedTuple):
    """One event that is handed over.

    Attributes:
        record: Its record for the failures topic.
        key: Where its hold stands on the held-keys topic.
        held: The hold.
        done: Called once the transaction is committed.
        tracker: The source partition's offsets. Once it is closed the event is not handed over: the
            partition's new owner is given it.

    """

    record: OutRecord
    key: HeldKey
    held: HeldRange
    done: Callable[[], None]
    tracker: OffsetTracker


class Written(NamedTuple):
    """A record about a source partition: a tombstone of a hold, or a question.

    Attributes:
        record: What to write.
        tracker: As of :class:`Handed`. Written later than its partition was given away, it would be
            taken for one about what the new owner has written by then.

    """

    record: OutRecord
    tracker: OffsetTracker


_Item = Handed | Written


class _Problem(NamedTuple):
    reason: str
    refused: bool = False


class Handover:
    """Forward failed events in batches, again and again until the broker has them.

    Key and value go byte for byte. Records of one key keep their order: there is one sender, and it
    does not go on before a batch is in. A hand-over that never succeeds keeps its event unfinished,
    so that nothing behind it is committed, and the bound on unfinished events pauses fetching.

    Args:
        transactions: One at a time; its transactional id is this pod's.
        replica: Tells whether a transaction whose outcome is unknown took place.
        held_keys_topic: Real name of the topic of the holds.
        max_record_bytes: Largest record; a larger event goes without its payload.
        commit: Commits what is finished on the source partitions.
        is_member: Whether the group has just said that the source partitions are ours; while that
            is not certain, nothing is handed over.

    """

    def __init__(
        self,
        transactions: Transactions,
        replica: Replica,
        held_keys_topic: str,
        max_record_bytes: int,
        commit: Callable[[], Awaitable[object]],
        *,
        is_member: Callable[[], bool],
    ) -> None:
        self._transactions = transactions
        self._replica = replica
        self._held_keys_topic = held_keys_topic
        self._max_record_bytes = max_record_bytes
        self._commit = commit
        self._is_member = is_member
        self._waiting: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False

    async def start(self) -> None:
        """Start the sender; it connects when there is something to send."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """End the sender; what still waits was not acknowledged and will be delivered again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._transactions.close()

    def hand_over(self, handed: Handed) -> None:
        """Forward an event; its ``done`` is called once that is committed."""
        self._waiting.append(handed)
        self._arrived.set()

    def write(self, records: Iterable[OutRecord], tracker: OffsetTracker) -> None:
        """Write other records of a partition behind what was handed over so far."""
        self._waiting.extend(Written(record, tracker) for record in records)
        self._arrived.set()

    async def _send_forever(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._send(self._next_batch())

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        size_bytes = 0
        while self._waiting and len(batch) < _MAX_BATCH and size_bytes < _MAX_BATCH_BYTES:
            item = self._waiting.popleft()
            size_bytes += len(item.record.value or b"")
            batch.append(item)
        return batch

    async def _send(self, batch: list[_Item]) -> None:
        pause_s = _FIRST_PAUSE_S
        while batch := [item for item in batch if not item.tracker.closed]:
            if not self._is_member():  # others may have been given what this is about
                await asyncio.sleep(_MEMBER_PAUSE_S)
                continue
            problem = await self._transact(batch)
            if problem is None:
                for item in batch:
                    if isinstance(item, Handed):
                        item.done()
                return
            if problem.refused:
                await self._send_singly(batch, problem.reason)
                return
            pause_s = await self._pause(len(batch), pause_s, problem.reason)

    async def _transact(self, batch: list[_Item]) -> _Problem | None:
        """Write a batch in one transaction; returns why it is not there, None when it is."""
        try:
            await self._open()
            await self._commit_first(batch)
            return await self._write(batch)
        except (BrokerError, PublishError) as error:
            self._is_open = False
            return _Problem(str(error))
        except Exception as error:
            # Whatever it is, these events must not be taken for handed over.
            self._is_open = False
            logger.exception("The hand-over failed in a way that nobody thought of")
            return _Problem(repr(error))

    async def _write(self, batch: list[_Item]) -> _Problem | None:
        try:
            await self._transactions.transact(self._records(batch), self._is_member)
        except TransactionLostError as lost:
            self._is_open = False
            if lost.unknown and await self._took_place(batch):
                return None
            return _Problem(str(lost), lost.refused)
        return None

    async def _commit_first(self, batch: Iterable[_Item]) -> None:
        """See to it that each source partition has a commit before it has a hold.

        So a hold without a commit is known to be that of another topic of the same name.
        """
        new = {item.tracker for item in batch if isinstance(item, Handed)}
        while any(tracker.committed < 0 and not tracker.closed for tracker in new):
            await self._commit()
            await asyncio.sleep(_COMMIT_PAUSE_S)

    async def _open(self) -> None:
        if not self._is_open:
            await self._transactions.open()
            self._is_open = True

    def _records(self, batch: Iterable[_Item]) -> list[OutRecord]:
        """Return what to write: for each hold only its newest state."""
        records: list[OutRecord] = []
        holds: dict[bytes, OutRecord] = {}
        for item in batch:
            if isinstance(item, Handed):
                records.append(self._fitting(item.record))
                key = encode(item.key)
                hold = OutRecord(self._held_keys_topic, encode(item.held), key=key)
            elif item.record.topic == self._held_keys_topic:
                assert item.record.key is not None
                key, hold = item.record.key, item.record
            else:
                records.append(item.record)
                continue
            holds.pop(key, None)
            holds[key] = hold
        return [*records, *holds.values()]

    def _fitting(self, record: OutRecord) -> OutRecord:
        try:
            check_sizes((record,), self._max_record_bytes)
        except RecordTooLargeError as error:
            return _left_out(record, str(error))
        return record

    async def _took_place(self, batch: Iterable[_Item]) -> bool:
        """Find out whether a transaction was committed: its last hold tells."""
        handed = [item for item in batch if isinstance(item, Handed)]
        if not handed:
            return False  # tombstones and questions may be written twice
        opened = self._retrying(self._open)
        await opened  # only now is it certain that it will not be committed later
        await self._replica.read_to_end()
        newest: dict[bytes, bytes | None] = {}
        for item in batch:
            if isinstance(item, Handed):
                newest[encode(item.key)] = encode(item.held)
            elif item.record.topic == self._held_keys_topic and item.record.key is not None:
                newest[item.record.key] = item.record.value
        found = {encode(item.key): self._replica.get(item.key) for item in handed}
        return all(
            (None if held is None else encode(held)) == newest[key] for key, held in found.items()
        )

    async def _retrying(self, work: Callable[[], Awaitable[None]]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await work()
            except (BrokerError, PublishError, TransactionLostError) as error:
                pause_s = await self._pause(0, pause_s, str(error))
            else:
                return

    async def _send_singly(self, batch: list[_Item], reason: str) -> None:
        """Find the record that the broker refuses for itself, so that it holds up no other."""
        if len(batch) > 1:
            for item in batch:
                await self._send([item])
            return
        item = batch[0]
        if isinstance(item, Handed) and has_payload(item.record):
            smaller = _left_out(item.record, reason)
            await self._send([item._replace(record=smaller)])
            return
        logger.error(
            "Kafka does not take %s, not even without its payload: %s. It stays unfinished, and "
            "nothing behind it is committed, until a restart finds the topic's settings mended.",
            _place(item.record) if isinstance(item, Handed) else item.record.topic,
            reason,
        )

    async def _pause(self, waiting: int, pause_s: float, reason: str) -> float:
        logger.error(
            "Could not hand over %s failed event(s), trying again in %.1f s: %s",
            waiting,
            pause_s,
            reason,
        )
        await asyncio.sleep(pause_s)
        return min(pause_s * 2, _LONGEST_PAUSE_S)


def _left_out(record: OutRecord, reason: str) -> OutRecord:
    logger.error(
        "The event at %s cannot be handed over as it is: %s. %s gets its origin and error only: "
        "read the event from its topic before its retention ends.",
        _place(record),
        reason,
        record.topic,
    )
    return without_payload(record)


def _place(record: OutRecord) -> str:
    headers = dict(record.headers)
    topic, partition, offset = (
        (headers[name] or b"").decode() for name in (TOPIC, PARTITION, OFFSET)
    )
    return f"{topic}[{partition}]@{offset}"
