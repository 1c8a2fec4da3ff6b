"""Transactions of which each owner of a piece of work can make only its own.

The transactional id is fixed (it names the piece of work: a partition), so whoever opens it fences
the owner before: what that one had not committed is rolled back, what it was committing is
completed, and it can never commit again. So at most one owner writes, whatever it believes.

As in ``transactions.py`` nothing is ever aborted by asking: after any failure the producer is
dropped, and the next ``open`` rolls back what was open. When nobody opens it, the broker does so
after the transaction timeout. Readers must ask for ``isolation_level="read_committed"``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    ProducerFenced,
    RecordListTooLargeError,
)

from trunkline.connection import KafkaConnection
from trunkline.delivery.partitioning import Partitioner
from trunkline.delivery.producer import MAX_REQUEST_BYTES
from trunkline.delivery.producer_call import (
    OutRecord,
    RecordMetadata,
    RecordTooLargeError,
    check_sizes,
)
from trunkline.delivery.producer_link import LinkOptions, ProducerLink, explain
from trunkline.delivery.transaction_write import write_in_order
from trunkline.errors import PublishError

_BATCH_BYTES = 512 * 1024
_FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping, InvalidTxnState)
#: Refused for what is in a record: the same record will be refused again.
_REFUSED = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    PolicyViolationError,
    RecordTooLargeError,
)


class TransactionLostError(PublishError):
    """A transaction failed: its owner must open anew, and find out what stands in Kafka.

    Attributes:
        reason: What the broker, or the wait for it, said; ``__cause__`` is the client's error.
        fenced: Another owner has opened it, or Kafka rolled it back because it took too long.
        unknown: The commit was sent, or may have been: all of it will be visible, or nothing. When
            this is False, nothing of it is visible, now or later.
        refused: The broker takes some record of it neither now nor later: it is too large, or
            against a policy.

    """

    def __init__(
        self, reason: str, cause: BaseException | None = None, *, unknown: bool = False
    ) -> None:
        outcome = "all of it will be visible, or nothing" if unknown else "nothing of it is visible"
        super().__init__(f"A transaction was lost: {reason}; {outcome}.")
        self.__cause__ = cause
        self.reason = reason
        self.unknown = unknown
        self.fenced = isinstance(cause, _FENCED)
        self.refused = isinstance(cause, _REFUSED)


class FencedTransactions:
    """Write lists of records, each list atomically, as the one owner of a transactional id.

    It lives in the event loop in which it is opened. Lists are written one after the other.

    Args:
        connection: How to reach Kafka.
        client_id: Name for the broker's logs and quotas.
        transactional_id: The same for every owner, and for nothing else.
        request_timeout_s: How long opening, or one request to a broker, may take.
        transaction_timeout_s: How long writing a list may take, and how long a transaction whose
            owner is gone holds up committed readers unless the next owner opens earlier.
        commit_timeout_s: How long the answer to a commit is waited for.
        max_request_bytes: Largest record, with key, headers and its batch's header.
        metadata_max_age_s: How soon new partitions are noticed.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        client_id: str,
        transactional_id: str,
        *,
        request_timeout_s: float = 10.0,
        transaction_timeout_s: float = 10.0,
        commit_timeout_s: float = 10.0,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        metadata_max_age_s: float = 30.0,
    ) -> None:
        self._write_timeout_s = transaction_timeout_s
        self._commit_timeout_s = commit_timeout_s
        self._max_request_bytes = max_request_bytes
        self._options = LinkOptions(
            connection=connection,
            client_id=client_id,
            request_timeout_s=request_timeout_s,
            max_batch_bytes=min(max_request_bytes, _BATCH_BYTES),
            metadata_max_age_s=metadata_max_age_s,
            transactional_id=transactional_id,
            transaction_timeout_s=transaction_timeout_s,
        )
        self._partitioner = Partitioner()
        self._link: ProducerLink | None = None
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether lists can be written."""
        return self._link is not None

    async def open(self) -> None:
        """Become the owner: all that an earlier one wrote is settled when this returns.

        May be called again at any time, also after a failure.

        Raises:
            BrokerError: The broker is away, or refuses this client.

        """
        await self.close()
        self._link = await ProducerLink.open(self._options)

    async def close(self) -> None:
        """Let go, within about a second; a list that is being written is lost."""
        link, self._link = self._link, None
        if link is not None:
            await link.kill()

    async def transact(
        self, records: Sequence[OutRecord], may_commit: Callable[[], bool] | None = None
    ) -> list[RecordMetadata]:
        """Publish all of these records, or none; returns where they are once they are committed.

        Args:
            records: What to write.
            may_commit: Asked at the last moment; nothing is written when it says no.

        Raises:
            TransactionLostError: See there; open it anew.

        """
        if not records:
            return []
        async with self._turn:
            link = self._link
            if link is None:
                raise TransactionLostError("it is not open")
            try:
                places = await self._write(link, records)
                _require(may_commit)
                await self._commit(link)
            except BaseException:
                await self._drop(link)
                raise
            return places

    async def _write(
        self, link: ProducerLink, records: Sequence[OutRecord]
    ) -> list[RecordMetadata]:
        try:
            check_sizes(records, self._max_request_bytes)
            async with asyncio.timeout(self._write_timeout_s):
                await link.producer.begin_transaction()
                return await write_in_order(link, self._partitioner, records)
        except TimeoutError:
            raise TransactionLostError(_late(self._write_timeout_s)) from None
        except (KafkaError, PublishError, AssertionError) as error:
            # AssertionError: aiokafka's way of saying that the producer broke while it was idle.
            raise TransactionLostError(self._why(link, error), error) from error

    async def _commit(self, link: ProducerLink) -> None:
        """Commit; aiokafka repeats it until the coordinator has answered."""
        try:
            async with asyncio.timeout(self._commit_timeout_s):
                await link.producer.commit_transaction()
        except TimeoutError:
            reason = f"the commit: {_late(self._commit_timeout_s)}"
            raise TransactionLostError(reason, unknown=True) from None
        except (KafkaError, AssertionError) as error:
            # Also when fenced: the answer to an earlier attempt at it may have been lost.
            reason = f"the commit: {self._why(link, error)}"
            raise TransactionLostError(reason, error, unknown=True) from error

    def _why(self, link: ProducerLink, error: BaseException) -> str:
        if self._link is not link:
            return "it was closed"
        if isinstance(error, _FENCED):
            return "another owner has taken over, or Kafka rolled it back because it took too long"
        return explain(error)

    async def _drop(self, link: ProducerLink) -> None:
        if self._link is link:
            self._link = None
        await link.kill()


def _require(may_commit: Callable[[], bool] | None) -> None:
    if may_commit is not None and not may_commit():
        raise TransactionLostError("what it is about may be another's by now")


def _late(timeout_s: float) -> str:
    return f"no acknowledgement within {timeout_s:g} s"
