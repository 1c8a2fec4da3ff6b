"""Publish records in bulk, each acknowledged by all in-sync replicas (acks=all, idempotent).

For events, hand-overs, dead letters and relays alike. Records go in batches that we fill ourselves
(aiokafka's ``create_batch``): a future per record, which ``AIOKafkaProducer.send`` costs, was most
of the time of a send.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from trunkline.connection import KafkaConnection
from trunkline.delivery.partitioning import Partitioner
from trunkline.delivery.producer_call import (
    Call,
    NotAcknowledgedError,
    OutRecord,
    RecordMetadata,
    RecordTooLargeError,
    check_sizes,
)
from trunkline.delivery.producer_lane import Lane, Run
from trunkline.delivery.producer_link import LinkOptions, ProducerLink
from trunkline.errors import BrokerError, PublishError

__all__ = [
    "NotAcknowledgedError",
    "OutRecord",
    "RecordMetadata",
    "RecordProducer",
    "RecordTooLargeError",
]

logger = logging.getLogger(__name__)

#: Kafka's default ``max.message.bytes`` is 1,048,588, and counts the batch.
MAX_REQUEST_BYTES = 1024 * 1024
_BATCH_BYTES = 512 * 1024
#: How long the other batches on a retired link may take to end by themselves.
_GRACE_S = 0.5
_REOPEN_DELAY_S = 0.5


class RecordProducer:
    """A producer that mends itself; it lives in the event loop in which it was started.

    Records for one partition are written in the order in which the calls were made.

    Args:
        connection: How to reach Kafka.
        client_id: Name for the broker's logs and quotas.
        request_timeout_s: A call fails when none of its records was acknowledged for this long.
        max_request_bytes: Largest record, with key, headers and its batch's header.
        linger_ms: How long an idle partition waits for company before it sends.
        metadata_max_age_s: How soon new partitions are noticed.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        client_id: str,
        *,
        request_timeout_s: float = 10.0,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        linger_ms: float = 0,
        metadata_max_age_s: float = 30.0,
    ) -> None:
        self._timeout_s = request_timeout_s
        self._max_request_bytes = max_request_bytes
        self._linger_s = linger_ms / 1000
        self._options = LinkOptions(
            connection=connection,
            client_id=client_id,
            request_timeout_s=request_timeout_s,
            max_batch_bytes=min(max_request_bytes, _BATCH_BYTES),
            metadata_max_age_s=metadata_max_age_s,
        )
        self._partitioner = Partitioner()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._calls: set[Call] = set()
        self._link: ProducerLink | None = None
        self._has_link = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = self._accepts = False

    @property
    def connected(self) -> bool:
        """Whether there is a link; False while the broker is known to be away."""
        return self._link is not None

    async def start(self) -> None:
        """Connect. May be called again after it failed.

        Raises:
            BrokerError: The broker is away, or refuses this client.

        """
        if not self._started:
            self._take(await ProducerLink.open(self._options))
            self._started = self._accepts = True
            self._spawn(self._watch())

    async def stop(self, timeout_s: float = 2.0) -> None:
        """End within about this time: what is not acknowledged by then fails and is not sent."""
        self._accepts = False
        if self._calls:
            await asyncio.wait({call.future for call in self._calls}, timeout=timeout_s)
        self._started = False
        for call in list(self._calls):
            call.fail(call.first_topic, None, "the producer was stopped")
        for lane in self._lanes.values():
            await lane.stop()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._link is not None:
            await self._link.kill()
        self._link = None
        self._has_link.set()  # whoever waits for one learns that there will be none
        self._lanes.clear()

    async def send(self, record: OutRecord) -> RecordMetadata:
        """Publish one record; returns when it is acknowledged.

        Raises:
            PublishError: See :meth:`send_many`.

        """
        return (await self.send_many((record,)))[0]

    async def send_many(self, records: Sequence[OutRecord]) -> list[RecordMetadata]:
        """Publish records; returns where each one is, in their order, when all are acknowledged.

        Not atomic: when it fails, some may stand in their topics, and each one that does has its
        place in the error's ``results``. Nothing is sent any more once it has failed. When the
        caller is cancelled, batches that are on their way may still arrive.

        Raises:
            RecordTooLargeError: A record is too large; nothing was sent.
            NotAcknowledgedError: Some records were not acknowledged in time, or were refused.
            PublishError: A topic does not exist, or the producer is not started.

        """
        if not records:
            return []
        if not self._accepts:
            raise PublishError("The producer is not started, or was stopped: start it first.")
        check_sizes(records, self._max_request_bytes)
        partitions = await self._partitions({record.topic for record in records})
        places = self._assign(records, partitions)
        call = Call(records)
        self._calls.add(call)
        for place, indices in places.items():
            self._lane(*place).add(Run(call, indices))
        try:
            return await call.future
        except asyncio.CancelledError:
            call.fail(call.first_topic, None, "the call was cancelled")
            raise
        finally:
            if call.over:  # else the watch goes on: what is on its way must have an end
                self._calls.discard(call)

    async def reaches_broker(self, timeout_s: float = 3.0) -> bool:
        """Ask the brokers for a sign of life."""
        if self._link is None:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                return await self._link.reaches_broker()
        except TimeoutError:
            return False

    async def _partitions(self, topics: set[str]) -> dict[str, list[int]]:
        if self._link is not None:
            known = {topic: self._link.known_partitions(topic) for topic in topics}
            if None not in known.values():
                return cast("dict[str, list[int]]", known)
        try:
            async with asyncio.timeout(self._timeout_s):
                link = await self._wait_for_link()
                return {topic: await link.partitions(topic) for topic in topics}
        except TimeoutError:
            reason = f"Kafka was away for {self._timeout_s:g} s, nothing was sent"
            raise NotAcknowledgedError(min(topics), None, reason) from None

    def _assign(
        self, records: Sequence[OutRecord], partitions: dict[str, list[int]]
    ) -> dict[tuple[str, int], list[int]]:
        """Return the positions of the records for each topic and partition."""
        places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        choose = self._partitioner.choose
        for index, record in enumerate(records):
            known = partitions[record.topic]
            partition = record.partition
            if partition is None:
                partition = choose(record.key, known)
            elif partition not in known:
                raise NotAcknowledgedError(
                    record.topic,
                    partition,
                    f"it has only {len(known)} partitions, nothing was sent",
                )
            places[record.topic, partition].append(index)
        return places

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = Lane(topic, partition, self._wait_for_link, self._retire, self._linger_s)
            self._lanes[topic, partition] = lane
        return lane

    async def _watch(self) -> None:
        """End calls that get no acknowledgement: one watch for all is cheaper than a timer each."""
        while True:
            await asyncio.sleep(min(0.25, self._timeout_s / 10))
            late = [call for call in self._calls if call.waited_s() >= self._timeout_s]
            for call in late:
                self._expire(call)
            if late:
                for lane in self._lanes.values():
                    lane.forget_failed()

    def _expire(self, call: Call) -> None:
        """End a call that was not acknowledged in time, with the links that carry it."""
        call.fail(call.first_topic, None, f"no acknowledgement within {self._timeout_s:g} s")
        if call.over:
            self._calls.discard(call)
            return
        for lane in self._lanes.values():
            lane.retire_links_of(call)

    async def _wait_for_link(self) -> ProducerLink:
        while self._link is None:
            if not self._started:
                raise PublishError("The producer was stopped: nothing was sent.")
            await self._has_link.wait()
        return self._link

    def _take(self, link: ProducerLink) -> None:
        self._link = link
        self._has_link.set()

    def _retire(self, link: ProducerLink) -> None:
        if link.retired:
            return
        link.retire()
        self._spawn(self._let_go(link))
        if self._link is link:
            self._link = None
            self._has_link.clear()
            self._spawn(self._reopen())

    async def _let_go(self, link: ProducerLink) -> None:
        try:
            if link.unsettled:
                await asyncio.wait(set(link.unsettled), timeout=_GRACE_S)
        finally:
            await link.kill()

    async def _reopen(self) -> None:
        told = ""
        while True:
            try:
                self._take(await ProducerLink.open(self._options))
            except BrokerError as error:
                if told != str(error):  # twice a second: said again only when it is another reason
                    told = str(error)
                    logger.warning("Publishing waits: %s", told)
                await asyncio.sleep(_REOPEN_DELAY_S)
            else:
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
