"""Read some records of a topic: from an offset, from a time, with a key, or the newest.

Each question has a consumer of its own, without a group, which reads committed records only. All
of them together are bounded: so many at once, so many records, so many seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection
from trunkline.console.pages.topics.taking import Reading, Taking
from trunkline.console.refusals import Refusal
from trunkline.delivery.tail_client import end_client, start_client
from trunkline.errors import BrokerError
from trunkline.topics.connecting import quiet_aiokafka, why_no_answer

_AT_ONCE = 4
_TIMEOUT_S = 10.0
_POLL_MS = 200
#: A search by key looks at no more, and for no longer.
MAX_SEARCHED = 50_000
_SEARCH_S = 5.0
#: Offsets without records (transaction markers, compaction) may lie between those that are shown:
#: so many times the limit is read at first, then more.
_WIDENINGS = (2, 16, 256)
_ENDS = ("time", "count", "size")


class TopicBrowser:
    """Answers questions about the records of topics."""

    def __init__(self, connection: KafkaConnection, client_id: str) -> None:
        self._connection = connection
        self._client_id = client_id
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def newest(self, topic: str, partition: int | None, limit: int) -> Reading:
        """Return the last records, newest first."""
        async with self._opened(topic, partition) as question:
            reading = Reading()
            for width in _WIDENINGS:
                starts = question.before_the_end(limit * width)
                reading = await question.read(starts, keep_last=limit)
                enough = len(reading.records) >= limit or reading.stopped == "size"
                if enough or question.covers_all(limit * width):
                    break
            reading.records.sort(key=lambda r: (r.timestamp, r.partition, r.offset), reverse=True)
            del reading.records[limit:]
            return reading

    async def from_offset(
        self, topic: str, partition: int | None, offset: int, limit: int
    ) -> Reading:
        """Return the records from an offset on, of each partition."""
        async with self._opened(topic, partition) as question:
            starts = dict.fromkeys(question.ends, offset)
            reading = await question.read(starts, stop_after=limit)
            reading.records.sort(key=lambda r: (r.partition, r.offset))
            return reading

    async def from_time(self, topic: str, partition: int | None, at_ms: int, limit: int) -> Reading:
        """Return the records that are not older than a time, by their timestamps."""
        async with self._opened(topic, partition) as question:
            starts = await question.starts_at(at_ms)
            reading = await question.read(starts, stop_after=limit)
            reading.records.sort(key=lambda r: (r.timestamp, r.partition, r.offset))
            return reading

    async def with_key(
        self, topic: str, partition: int | None, key: bytes, at_ms: int | None, limit: int
    ) -> Reading:
        """Return records with a key: the newest of the last ones, or the first from a time on."""
        async with self._opened(topic, partition) as question:
            if at_ms is None:
                share = max(1, MAX_SEARCHED // max(1, len(question.ends)))
                reading = await question.read(
                    question.before_the_end(share),
                    matches=lambda r: r.key == key,
                    keep_last=limit,
                )
                if not reading.stopped and not question.covers_all(share):
                    reading.stopped = "count"
                reading.records.sort(key=lambda r: (r.timestamp, r.offset), reverse=True)
                del reading.records[limit:]
                return reading
            starts = await question.starts_at(at_ms)
            reading = await question.read(starts, matches=lambda r: r.key == key, stop_after=limit)
            reading.records.sort(key=lambda r: (r.timestamp, r.offset))
            return reading

    async def record(self, topic: str, partition: int, offset: int) -> Any:
        """Return one record.

        Raises:
            Refusal: There is none (any more, or yet).

        """
        async with self._opened(topic, partition) as question:
            reading = await question.read({partition: offset}, stop_after=1)
        if reading.records and reading.records[0].offset == offset:
            return reading.records[0]
        begin, end = reading.begins[partition], reading.ends[partition]
        raise Refusal(
            404,
            f"There is no record at offset {offset} of {topic}[{partition}], which has "
            f"{begin} to {end}.",
            "Retention or compaction deleted it, it ends a transaction, or it is yet to come.",
        )

    @asynccontextmanager
    async def _opened(self, topic: str, partition: int | None) -> AsyncIterator[_Question]:
        consumer = None
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._turns:
                consumer = await self._consumer()
                question = _Question(consumer, topic)
                await question.open(partition)
                yield question
        except (KafkaError, OSError):
            raise BrokerError(await why_no_answer(self._connection)) from None
        except TimeoutError:
            raise Refusal(
                503, f"Reading {topic} took more than {_TIMEOUT_S:g} s.", "Ask for less, or again."
            ) from None
        finally:
            if consumer is not None:
                await end_client(consumer)

    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            **self._connection.options(),
            client_id=self._client_id,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            request_timeout_ms=int(_TIMEOUT_S * 1000),
        )
        try:
            with quiet_aiokafka():
                await start_client(consumer)
        except BaseException:
            await end_client(consumer)
            raise
        return consumer


class _Question:
    """One consumer at one topic."""

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self.begins: dict[int, int] = {}
        self.ends: dict[int, int] = {}

    async def open(self, partition: int | None) -> None:
        """Find the partitions, and where they begin and end."""
        # Asks for all topics: to ask for one by name could create it.
        if self._topic not in await self._consumer.topics():
            raise Refusal(
                404,
                f"There is no topic {self._topic} in this cluster.",
                "Create it with 'trunkline topics apply'.",
            )
        await self._consumer._client.add_topic(self._topic)
        there = set(self._consumer.partitions_for_topic(self._topic) or ())
        if partition is not None and partition not in there:
            raise Refusal(
                404,
                f"{self._topic} has no partition {partition}.",
                f"It has 0 to {max(there, default=0)}.",
                "?partition",
            )
        places = [self._place(p) for p in sorted(there) if partition in (None, p)]
        begins = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        self.begins = {place.partition: offset for place, offset in begins.items()}
        self.ends = {place.partition: offset for place, offset in ends.items()}

    def before_the_end(self, count: int) -> dict[int, int]:
        """Return so many offsets before the end of each partition."""
        return {p: max(self.begins[p], end - count) for p, end in self.ends.items()}

    def covers_all(self, count: int) -> bool:
        """Return whether no partition has more offsets than that."""
        return all(end - count <= self.begins[p] for p, end in self.ends.items())

    async def starts_at(self, at_ms: int) -> dict[int, int]:
        """Return the first offset of each partition whose record is not older."""
        asked = {self._place(p): at_ms for p in self.ends}
        found = await self._consumer.offsets_for_times(asked)
        return {
            p: self.ends[p] if (at := found[self._place(p)]) is None else at.offset
            for p in self.ends
        }

    async def read(
        self,
        starts: dict[int, int],
        *,
        matches: Callable[[Any], bool] = lambda _: True,
        stop_after: int | None = None,
        keep_last: int | None = None,
    ) -> Reading:
        """Read from offsets to the ends; of each partition no more than are asked for.

        Args:
            starts: Partition → where to begin.
            matches: Which records are meant.
            stop_after: So many of each partition are enough.
            keep_last: Of each partition only the last so many are kept.

        """
        reading = Reading(begins=self.begins, ends=self.ends)
        take = Taking(reading, matches, stop_after, keep_last)
        left = {p for p, at in starts.items() if max(at, self.begins[p]) < self.ends[p]}
        self._consumer.assign([self._place(p) for p in left])
        for p in left:
            self._consumer.seek(self._place(p), max(starts[p], self.begins[p]))
        deadline = time.monotonic() + _SEARCH_S
        # The last ones stand at the end: what comes before them makes room, and is read past.
        while left and reading.stopped not in (("time", "count") if keep_last else _ENDS):
            for place, records in (await self._poll()).items():
                take(place.partition, records)
            left = {p for p in left if not await self._is_done(p, take.is_full(p))}
            if left and reading.searched >= MAX_SEARCHED:
                reading.stopped = "count"
            elif left and time.monotonic() > deadline:
                reading.stopped = "time"
        reading.records = take.records
        return reading

    async def _is_done(self, partition: int, is_full: bool) -> bool:
        place = self._place(partition)
        is_done = is_full
        if not is_done:
            # It moves behind transaction markers only when it is asked for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_MS / 1000):
                    is_done = await self._consumer.position(place) >= self.ends[partition]
        if is_done:
            self._consumer.pause(place)
        return is_done

    async def _poll(self) -> dict[Any, list[Any]]:
        with quiet_aiokafka():
            found: dict[Any, list[Any]] = await self._consumer.getmany(timeout_ms=_POLL_MS)
        return found

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)
