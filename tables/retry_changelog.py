"""Read a partition of the retries table's changelog, from an offset to its end, in bulk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tables.retry_staleness import LogRange
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer_link import explain
from trunkline.delivery.tail_client import end_client, start_client
from trunkline.errors import BrokerError
from trunkline.topics.connecting import quiet_aiokafka
from trunkline.topics.identity import topic_id

_FETCH_BYTES = 2 * 1024 * 1024
#: Short, because nothing comes when only transaction markers are left, but the position moves.
_POLL_MS = 20


class ChangelogReader:
    """A client that reads one partition, committed records only.

    Attributes:
        range: What the partition held when it was opened.

    """

    def __init__(
        self, consumer: Any, place: TopicPartition, log: LogRange, timeout_s: float
    ) -> None:
        self.range = log
        self._consumer = consumer
        self._place = place
        self._timeout_s = timeout_s

    async def read(self, start: int) -> AsyncIterator[list[Any]]:
        """Yield the records from an offset to the end, as many at once as came in.

        Raises:
            BrokerError: Nothing came for too long.

        """
        consumer, place = self._consumer, self._place
        consumer.seek(place, start)
        heard_at, position = time.monotonic(), start
        while position < self.range.end:
            with _as_broker_error(place):
                found = await consumer.getmany(place, timeout_ms=_POLL_MS)
            if place in found:
                yield found[place]
            # Past what is no record to us: transaction markers, aborted records.
            reached = await consumer.position(place)
            if reached > position:
                heard_at, position = time.monotonic(), reached
            elif time.monotonic() - heard_at > self._timeout_s:
                raise BrokerError(
                    f"{place.topic}[{place.partition}] could not be read on from offset "
                    f"{position} to {self.range.end}: nothing came for {self._timeout_s:g} s."
                )


@asynccontextmanager
async def open_changelog(
    connection: KafkaConnection,
    client_id: str,
    place: TopicPartition,
    *,
    timeout_s: float = 10.0,
) -> AsyncIterator[ChangelogReader]:
    """Connect to read a partition.

    Args:
        connection: How to reach Kafka.
        client_id: Name for the broker's logs and quotas.
        place: Topic and partition.
        timeout_s: How long an answer may take.

    Raises:
        BrokerError: The broker is away, or refuses this client.

    """
    consumer = AIOKafkaConsumer(
        **connection.options(),
        client_id=client_id,
        enable_auto_commit=False,
        isolation_level="read_committed",
        # The range was asked for just now: an offset outside of it is an error to be told.
        auto_offset_reset="none",
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=int(timeout_s * 1000),
    )
    try:
        with quiet_aiokafka(), _as_broker_error(place):
            async with asyncio.timeout(timeout_s):
                await start_client(consumer)
                consumer.assign([place])
                log = await _range_of(consumer, place)
        yield ChangelogReader(consumer, place, log, timeout_s)
    finally:
        await end_client(consumer)


async def _range_of(consumer: Any, place: TopicPartition) -> LogRange:
    begins = await consumer.beginning_offsets([place])
    ends = await consumer.end_offsets([place])  # of what is committed
    return LogRange(await topic_id(consumer._client, place.topic), begins[place], ends[place])


@contextmanager
def _as_broker_error(place: TopicPartition) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(
            f"{place.topic}[{place.partition}] cannot be read ({explain(error)}). See that Kafka "
            "is there ('trunkline broker status'), and the topic ('trunkline topics plan')."
        ) from error
