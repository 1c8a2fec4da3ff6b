"""Where reading begins, and a reader that keeps reading whatever the broker does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection
from trunkline.delivery.tail import TopicTail
from trunkline.errors import BrokerError, ConfigurationError, TopologyError
from trunkline.topics.connecting import check_addresses, why_no_answer

_RETRY_S = 1.0
_POLL_RECORDS = 500


@dataclass(frozen=True)
class Start:
    """Where each partition's reading begins; without anything said, at its end.

    Attributes:
        beginning: At the oldest record.
        offset: At this offset; when negative, so many before the end.
        since_ms: At the first record that is not older (Unix time, by the records' timestamps).

    """

    beginning: bool = False
    offset: int | None = None
    since_ms: int | None = None


class TopicReader(TopicTail):
    """A tail of some partitions of a topic, from a place of one's choice.

    Args:
        topic: Real name.
        connection: Where Kafka is.
        start: Where to begin.
        partitions: Which partitions; none means all.

    """

    def __init__(
        self,
        topic: str,
        connection: KafkaConnection,
        start: Start,
        partitions: Collection[int] = (),
    ) -> None:
        super().__init__(
            topic,
            connection,
            client_id="trunkline-tail",
            poll_records=_POLL_RECORDS,
        )
        self._wanted = frozenset(partitions)
        self._begin = start

    async def records(
        self, *, follow: bool, say: Callable[[str], None]
    ) -> AsyncGenerator[list[Any], None]:
        """Yield records as they come, each partition's in order.

        Args:
            follow: Go on behind what stood there at the start, and wait for a broker that goes
                away; else end there.
            say: Told when Kafka goes away, and when it is there again.

        Raises:
            BrokerError: Kafka is away at the start, or without ``follow`` at any time.
            TopologyError: There is no such topic.
            ConfigurationError: It has no such partition, or an address is wrong.

        """
        check_addresses(self.connection)
        try:
            await self._connect()
            while follow or not self.caught_up:
                try:
                    batch = await self._next(follow=follow)
                except (KafkaError, BrokerError, TimeoutError, OSError) as error:
                    if not follow:
                        raise BrokerError(f"{await self._why()} ({error})") from None
                    await self._reconnect(say)
                else:
                    yield batch
        finally:
            await self.close()

    async def _next(self, *, follow: bool) -> list[Any]:
        records = await self.poll()
        for record in records:
            self.positions[record.partition] = record.offset + 1
        if follow:
            return records
        return [r for r in records if r.offset < self._targets.get(r.partition, 0)]

    async def _connect(self) -> None:
        try:
            is_there = await self.open()
        except (KafkaError, TimeoutError, OSError):
            raise BrokerError(await self._why()) from None
        if not is_there:
            raise TopologyError(
                f"There is no topic {self.topic} in this cluster: 'trunkline topics ls' shows "
                "those that are declared, 'trunkline topics apply' makes them."
            )

    async def _reconnect(self, say: Callable[[str], None]) -> None:
        await self.close()
        say(f"{await self._why()}. Waiting for it …")
        while True:
            with contextlib.suppress(KafkaError, BrokerError, TimeoutError, OSError):
                if await self.open():
                    say("Kafka is there again.")
                    return
            await asyncio.sleep(_RETRY_S)

    async def _why(self) -> str:
        return await why_no_answer(self.connection)

    async def _start(self, consumer: Any, places: list[TopicPartition]) -> None:
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        starts = await self._starts(consumer, begins, ends)
        for place in places:
            self._targets[place.partition] = ends[place]
            self.positions[place.partition] = starts[place]

    async def _starts(
        self, consumer: Any, begins: dict[Any, int], ends: dict[Any, int]
    ) -> dict[Any, int]:
        start = self._begin
        if start.beginning:
            return begins
        if start.offset is not None:
            wanted = {p: start.offset + (end if start.offset < 0 else 0) for p, end in ends.items()}
            return {p: min(max(begins[p], at), ends[p]) for p, at in wanted.items()}
        if start.since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(ends, max(0, start.since_ms)))
            return {p: ends[p] if found[p] is None else found[p].offset for p in ends}
        return ends

    def _partitions(self, consumer: Any) -> set[int]:
        there = super()._partitions(consumer)
        missing = self._wanted - there
        if there and missing:
            raise ConfigurationError(
                f"{self.topic} has no partition {min(missing)}: it has 0 to {max(there)}."
            )
        return (there & self._wanted) if self._wanted else there
