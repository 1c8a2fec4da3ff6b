"""Publish lists of records that become visible together or not at all.

Each transaction carries every post that came in while the one before was on its way (group
commit), so that the price of a transaction, a few round trips, is shared under load.

Nothing is ever aborted by asking: after any failure the producer is dropped, and its successor,
which has the same transactional id, fences it; the broker then rolls back what was open. When the
broker is away it does so by itself after the transaction timeout.

One outcome can stay unknown: the commit was sent, and the broker vanished before it answered. The
commit is repeated until the answer is known, for ``commit_timeout_s``; only when the broker stays
away for longer is the post reported as failed although it may become visible (as a whole).
Readers must ask for ``isolation_level="read_committed"``.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.errors import KafkaError, ProducerFenced

from trunkline.connection import KafkaConnection
from trunkline.delivery.partitioning import Partitioner
from trunkline.delivery.producer import MAX_REQUEST_BYTES
from trunkline.delivery.producer_call import (
    NotAcknowledgedError,
    OutRecord,
    RecordMetadata,
    check_sizes,
)
from trunkline.delivery.producer_link import LinkOptions, ProducerLink, explain
from trunkline.delivery.transaction_write import write_in_order
from trunkline.errors import BrokerError, PublishError

logger = logging.getLogger(__name__)

_BATCH_BYTES = 512 * 1024
#: Most records in a transaction: it ends long before its timeout.
_MAX_RECORDS = 20_000
_REOPEN_DELAY_S = 0.5


class OutcomeUnknownError(NotAcknowledgedError):
    """The commit was not answered: all of the post will be visible, or nothing of it."""


class _RefusedError(Exception):
    """The broker refused a record: nothing of the transaction will be visible."""


class _LateError(Exception):
    """The time was up before the commit: nothing of the transaction will be visible."""


@dataclass(eq=False)
class _Post:
    records: Sequence[OutRecord]
    deadline: float
    future: asyncio.Future[list[RecordMetadata]]

    @property
    def topic(self) -> str:
        return self.records[0].topic

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """End it: nothing of it is visible, now or later."""
        error = NotAcknowledgedError(self.topic, None, f"{reason}; nothing of it was published")
        error.__cause__ = cause
        self.end(error)

    def end(self, outcome: NotAcknowledgedError | list[RecordMetadata]) -> None:
        if self.future.done():
            return  # its sender was cancelled
        if isinstance(outcome, NotAcknowledgedError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class TransactionalProducer:
    """Publishes posts of several records atomically, in the order in which they came in.

    Args:
        connection: How to reach Kafka.
        client_id: Name for the broker's logs.
        transactional_id: What the transactional id begins with; unset is the client's name.
        timeout_s: How long a post may take until its commit is begun.
        commit_timeout_s: How long the answer to a commit is waited for.
        max_request_bytes: Largest record; see :class:`RecordProducer`.
        metadata_max_age_s: How soon new partitions are noticed.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        client_id: str,
        *,
        transactional_id: str = "",
        timeout_s: float = 10.0,
        commit_timeout_s: float = 30.0,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        metadata_max_age_s: float = 30.0,
    ) -> None:
        self._timeout_s = timeout_s
        self._commit_timeout_s = commit_timeout_s
        self._max_request_bytes = max_request_bytes
        self._options = LinkOptions(
            connection=connection,
            client_id=client_id,
            request_timeout_s=timeout_s,
            max_batch_bytes=min(max_request_bytes, _BATCH_BYTES),
            metadata_max_age_s=metadata_max_age_s,
            transactional_id=f"{transactional_id or client_id}-{uuid.uuid4()}",
            # A publisher that dies in the middle blocks committed readers for this long.
            transaction_timeout_s=timeout_s + 5,
        )
        self._partitioner = Partitioner()
        self._posts: deque[_Post] = deque()
        self._arrived = asyncio.Event()
        self._link: ProducerLink | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a producer; False while the broker is known to be away."""
        return self._link is not None

    async def start(self) -> None:
        """Connect. May be called again after it failed.

        Raises:
            BrokerError: The broker is away, or refuses this client.

        """
        if self._worker is None:
            self._link = await ProducerLink.open(self._options)
            self._worker = asyncio.create_task(self._work(), name="transactions")

    async def stop(self, timeout_s: float = 2.0) -> None:
        """End within about this time; what is not committed by then fails."""
        worker, self._worker = self._worker, None
        if worker is not None:
            waiting = {post.future for post in self._posts}
            if waiting:
                await asyncio.wait(waiting, timeout=timeout_s)
            worker.cancel()
            await asyncio.wait([worker])
        for post in self._posts:
            post.fail("the publisher was stopped")
        self._posts.clear()
        if self._link is not None:
            await self._link.kill()
            self._link = None

    async def send_atomically(self, records: Sequence[OutRecord]) -> list[RecordMetadata]:
        """Publish all of these records, or none; returns where they are once that is settled.

        Raises:
            RecordTooLargeError: A record is too large; nothing was sent.
            OutcomeUnknownError: See this module's text.
            PublishError: Nothing of it is visible, now or later.

        """
        if not records:
            return []
        if self._worker is None:
            raise PublishError("The producer is not started, or was stopped: start it first.")
        check_sizes(records, self._max_request_bytes)
        loop = asyncio.get_running_loop()
        post = _Post(records, loop.time() + self._timeout_s, loop.create_future())
        self._posts.append(post)
        self._arrived.set()
        return await post.future

    async def _work(self) -> None:
        while True:
            await self._wait_for_posts()
            self._arrived.clear()
            while self._posts:
                group = self._next_group()
                try:
                    await self._publish(group)
                finally:
                    for post in group:
                        post.fail("the publisher was stopped")  # unless it has its outcome
                        self._posts.remove(post)

    async def _wait_for_posts(self) -> None:
        """Connect again meanwhile: a publisher that says that it is away is not posted to."""
        while self._link is None and not self._arrived.is_set():
            await self._reopen()
        await self._arrived.wait()

    def _next_group(self) -> list[_Post]:
        group: list[_Post] = []
        records = 0
        for post in self._posts:
            records += len(post.records)
            if group and records > _MAX_RECORDS:
                break
            group.append(post)
        return group

    async def _publish(self, group: list[_Post]) -> None:
        """Publish posts in one transaction, or each alone when the broker refused one of them."""
        try:
            await self._transact(group)
        except _RefusedError as refusal:
            await self._drop_link()
            if len(group) == 1:
                group[0].fail(str(refusal), refusal.__cause__)
                return
            for post in group:
                await self._publish([post])
        except _LateError as late:
            await self._drop_link()
            for post in group:
                post.fail(str(late))
        except BaseException:
            await self._drop_link()
            raise

    async def _transact(self, group: list[_Post]) -> None:
        link = await self._open_link(group)
        posts = [post for post in group if not post.future.done()]
        if link is None or not posts:
            return
        try:
            async with asyncio.timeout_at(min(post.deadline for post in posts)):
                await link.producer.begin_transaction()
                records = [record for post in posts for record in post.records]
                results = await write_in_order(link, self._partitioner, records)
        except TimeoutError:
            raise _LateError(f"no acknowledgement within {self._timeout_s:g} s") from None
        except (KafkaError, PublishError, AssertionError) as error:
            # AssertionError: aiokafka's way of saying that the producer broke while it was idle.
            raise _RefusedError(explain(error)) from error
        if await self._commit(link, posts):
            for post in posts:
                post.end(results[: len(post.records)])
                results = results[len(post.records) :]

    async def _commit(self, link: ProducerLink, posts: list[_Post]) -> bool:
        """Commit; aiokafka repeats it until the coordinator has answered."""
        try:
            async with asyncio.timeout(self._commit_timeout_s):
                await link.producer.commit_transaction()
        except ProducerFenced:
            # The broker was away for longer than the transaction timeout, and rolled it back.
            raise _LateError("Kafka rolled it back, because it took too long") from None
        except (TimeoutError, KafkaError, AssertionError) as error:
            await self._drop_link()
            reason = (
                f"the commit was not answered ({explain(error)}): all of it or nothing is there"
            )
            for post in posts:
                post.end(OutcomeUnknownError(post.topic, None, reason))
            return False
        return True

    async def _open_link(self, group: list[_Post]) -> ProducerLink | None:
        """Return a link, or None when every post's time was up before the broker was there."""
        while True:
            now = asyncio.get_running_loop().time()
            for post in group:
                if now >= post.deadline:
                    post.fail(f"Kafka did not take it within {self._timeout_s:g} s")
            if self._link is not None or all(post.future.done() for post in group):
                return self._link
            await self._reopen()

    async def _reopen(self) -> None:
        try:
            self._link = await ProducerLink.open(self._options)
        except BrokerError as error:
            logger.warning("Publishing lists waits: %s", error)
            await asyncio.sleep(_REOPEN_DELAY_S)

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.kill()
