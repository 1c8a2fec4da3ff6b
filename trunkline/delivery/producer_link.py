"""One aiokafka producer from its start to its end: what RecordProducer and transactions send with.

aiokafka's idempotent producer never gives a batch up (it retries for ever), its ``stop()`` waits
for that, and after any refused batch its sequence numbers have a gap, so that the partition refuses
everything that follows. Hence a link is never mended: it is killed, and a new one is opened.
What reaches into aiokafka (0.14.0, pinned) stands in :func:`_kill`, and in one constant of its.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerClosed
from aiokafka.producer import sender

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, PublishError, RefusedError
from trunkline.security.denial import denied, is_denied
from trunkline.topics.connecting import no_answer

#: How long a killed link's tasks may take to notice.
_KILL_TIMEOUT_S = 1.0
#: How long a topic that the brokers do not know yet may take to appear.
_TOPIC_WAIT_S = 2.0
#: A transaction can begin only when the markers of the one before are written, which the brokers do
#: after they have answered its commit. Until then they say so, and this is how soon they are asked
#: again. aiokafka (as the Java client) waits 20 ms: more than a whole transaction takes. The pause
#: does not grow, so it is not shorter still: brokers in trouble are asked 200 times a second.
sender.BACKOFF_OVERRIDE = 0.005


@dataclass(frozen=True)
class LinkOptions:
    """How links are opened.

    Attributes:
        request_timeout_s: How long one request to a broker may take.
        max_batch_bytes: Where batches end; a larger record gets a batch of its own.
        metadata_max_age_s: How soon new partitions are noticed.

    """

    connection: KafkaConnection
    client_id: str
    request_timeout_s: float = 10.0
    max_batch_bytes: int = 512 * 1024
    metadata_max_age_s: float = 30.0
    transactional_id: str | None = None
    transaction_timeout_s: float = 15.0


class _Pending(set[Any]):
    """aiokafka's batches that are on their way; one may be taken out twice."""

    def remove(self, element: Any) -> None:
        """Take one out, if it is still there."""
        self.discard(element)


class NotSentError(KafkaError):
    """A batch was taken back before any of it was sent."""


class ProducerLink:
    """A started producer. ``retired`` says that it gets no new batches."""

    def __init__(self, producer: Any, topic_wait_s: float = _TOPIC_WAIT_S) -> None:
        self.producer = producer
        self._topic_wait_s = topic_wait_s
        self.retired = False
        self.unsettled: set[asyncio.Future[Any]] = set()

    @classmethod
    async def open(cls, options: LinkOptions) -> ProducerLink:
        """Connect, and get a producer id.

        Raises:
            BrokerError: No broker answered in time, or it refused.

        """
        producer = AIOKafkaProducer(
            **options.connection.options(),
            client_id=options.client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=options.max_batch_bytes,
            # Our own check comes first; aiokafka's would count less than the broker does.
            max_request_size=2**31 - 1,
            request_timeout_ms=int(options.request_timeout_s * 1000),
            metadata_max_age_ms=int(options.metadata_max_age_s * 1000),
            transactional_id=options.transactional_id,
            transaction_timeout_ms=int(options.transaction_timeout_s * 1000),
        )
        # A batch that waits to be sent again was taken out of these, and is taken out once more
        # when its link is killed: without this, a traceback for each.
        producer._message_accumulator._pending_batches = _Pending()
        started = False
        try:
            async with asyncio.timeout(options.request_timeout_s):
                await producer.start()
            started = True
        except (KafkaError, OSError, TimeoutError) as error:
            raise await _not_opened(error, options) from error
        finally:
            if not started:
                await _kill(producer)
        return cls(producer, min(_TOPIC_WAIT_S, options.request_timeout_s / 2))

    def known_partitions(self, topic: str) -> list[int] | None:
        """Return the topic's partitions, ascending; None when the brokers were not asked yet."""
        known = self.producer.client.cluster.partitions_for_topic(topic)
        return sorted(known) if known else None

    async def partitions(self, topic: str) -> list[int]:
        """Return the topic's partitions, ascending; ask the brokers when they are not known.

        Raises:
            PublishError: There is no such topic, or it may not be seen.

        """
        try:
            async with asyncio.timeout(self._topic_wait_s):
                return sorted(await self.producer.partitions_for(topic))
        except TimeoutError:
            reason = "the brokers know no such topic"
        except KafkaError as error:
            reason = explain(error)
        raise PublishError(
            f"Topic {topic} cannot be published to: {reason}. See 'trunkline topics plan'."
        )

    def new_batch(self) -> Any:
        """Return an empty batch; see aiokafka's ``create_batch``."""
        return self.producer.create_batch()

    async def send(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        """Queue a batch; the future ends when the broker has acknowledged or refused it."""
        future: asyncio.Future[Any] = await self.producer.send_batch(
            batch, topic, partition=partition
        )
        self.unsettled.add(future)
        future.add_done_callback(self._settled)
        return future

    def _settled(self, future: asyncio.Future[Any]) -> None:
        self.unsettled.discard(future)
        if not future.cancelled():
            future.exception()  # of several that fail together only the first is awaited

    async def reaches_broker(self) -> bool:
        """Ask any broker for metadata; False when none answers."""
        return bool(await self.producer.client.force_metadata_update())

    def retire(self) -> None:
        """Take no new batches, and take back those of which nothing was sent yet.

        This is synchronous, so that a batch behind a refused one never overtakes it: the broker
        would accept it when the refused one was the first of this producer for its partition.
        """
        self.retired = True
        _take_back_unsent(self.producer._message_accumulator)

    async def kill(self) -> None:
        """End now, without flushing: nothing that is not acknowledged is sent any more."""
        self.retired = True
        await _kill(self.producer)

    async def close(self, timeout_s: float) -> None:
        """End after what was sent has an end; kill when that takes too long."""
        self.retired = True
        if self.unsettled:
            await asyncio.wait(set(self.unsettled), timeout=timeout_s)
        await _kill(self.producer)


async def _not_opened(error: BaseException, options: LinkOptions) -> BrokerError:
    """Return why a link cannot be opened: a client tells only that it found no broker."""
    if is_denied(error):
        said = denied(error, transactional_id=options.transactional_id)
        return RefusedError(f"Kafka at {options.connection} refuses us: {said}")
    if isinstance(error, KafkaConnectionError):
        return await no_answer(options.connection)
    return BrokerError(f"Kafka at {options.connection} cannot be reached ({explain(error)}).")


def explain(error: BaseException) -> str:
    """Return an error as words: its text, else its class's name."""
    if isinstance(error, KafkaConnectionError):
        return "no broker answers"
    if is_denied(error):
        return denied(error)
    return str(error) or type(error).__name__


async def _kill(producer: Any) -> None:
    if producer._closed:
        return
    producer._closed = True  # else its __del__ warns
    client, sender = producer.client, producer._sender
    _end_batches(producer._message_accumulator)
    _end_transaction(producer._txn_manager)
    # The sender's tasks reconnect, wait for metadata and look for a coordinator, for ever: from
    # here on all of that fails at once.
    client._get_conn = _refuse
    client.coordinator_lookup = _no_coordinator
    client.force_metadata_update = _no_update
    if client._md_update_fut is not None and not client._md_update_fut.done():
        client._md_update_fut.set_result(False)
    client._md_update_fut = None
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_KILL_TIMEOUT_S):
            await client.close()
    task = sender.sender_task
    if task is not None:
        task.remove_done_callback(sender._fail_all)  # it fails itself without a transaction
        task.cancel()
        await asyncio.wait([task], timeout=_KILL_TIMEOUT_S)
        if task.done() and not task.cancelled():
            task.exception()  # its end was our doing


def _take_back_unsent(accumulator: Any) -> None:
    for partition, queue in list(accumulator._batches.items()):
        for batch in [batch for batch in queue if batch.retry_count == 0]:
            queue.remove(batch)
            _end(batch, NotSentError())
        if not queue:
            del accumulator._batches[partition]


def _end_batches(accumulator: Any) -> None:
    accumulator._closed = True
    _take_back_unsent(accumulator)
    waiting = [batch for queue in accumulator._batches.values() for batch in queue]
    accumulator._batches.clear()
    for batch in [*waiting, *accumulator._pending_batches]:
        _end(batch, ProducerClosed())


def _end_transaction(manager: Any) -> None:
    waiter = manager._transaction_waiter  # of a commit, also of one that nobody asked for yet
    if waiter is not None:
        _fail(waiter, ProducerClosed())
        waiter.exception()


def _end(batch: Any, error: KafkaError) -> None:
    for future in (batch.future, batch._drain_waiter):
        _fail(future, error)


def _fail(future: asyncio.Future[Any], error: KafkaError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # else asyncio complains when nobody asks


async def _refuse(*args: object, **kwargs: object) -> None:
    """Stand in for a client's ``_get_conn``: no node is ready any more."""


async def _no_coordinator(*args: object) -> None:
    raise ProducerClosed


def _no_update() -> asyncio.Future[bool]:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    future.set_result(False)
    return future
