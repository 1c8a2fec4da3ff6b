"""Publish a stream of events: check, send in chunks, and know exactly how far it came."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trunkline.delivery.producer import NotAcknowledgedError, OutRecord, RecordMetadata
from trunkline.errors import PublishError
from trunkline.publishing.bodies import RawEvent
from trunkline.publishing.errors import RejectedEventError
from trunkline.publishing.events import EventReader, PreparedEvent
from trunkline.publishing.feed import Chunks

#: Chunks on their way: one is checked while the one before is acknowledged.
_IN_FLIGHT = 2
#: A chunk never lasts longer than this at a given rate, so that events flow evenly.
_SLICE_S = 0.1


class Sender(Protocol):
    """What sends records; :class:`RecordProducer` does."""

    async def send_many(self, records: Sequence[OutRecord]) -> list[RecordMetadata]:
        """Publish records, all acknowledged."""


@dataclass
class Outcome:
    """How far it came.

    Attributes:
        acknowledged: Events that Kafka has.
        invalid: What is wrong with events that were left out, or with the one that ended it.
        resume_from: First line that is not published; None when all are.
        also_published: Events behind that line that Kafka has nevertheless.
        error: Why it ended before its end.
        interrupted: Whether it was asked to stop.
        seconds: How long it took.

    """

    acknowledged: int = 0
    skipped: int = 0
    invalid: list[RejectedEventError] = field(default_factory=list)
    resume_from: int | None = None
    also_published: int = 0
    error: PublishError | None = None
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def events_per_s(self) -> float:
        """Acknowledged events a second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0


#: How many mistakes are remembered when invalid events are skipped.
_MISTAKES_KEPT = 100


class BulkPublisher:
    """Publishes one stream of events.

    Args:
        sender: Where records go.
        reader: Checks the events.
        prepare: Makes them ready; as they are unless it is given.
        rate: Most events a second; None is as fast as it goes.
        from_line: Earlier lines are left out.
        skip_invalid: Go on after an event that is wrong, instead of ending there.
        on_progress: Called with the outcome so far and the bytes read since the last call.

    """

    def __init__(
        self,
        sender: Sender,
        reader: EventReader,
        *,
        prepare: Callable[[RawEvent], PreparedEvent] | None = None,
        rate: float | None = None,
        from_line: int = 1,
        skip_invalid: bool = False,
        on_progress: Callable[[Outcome, int], None] = lambda _outcome, _size: None,
    ) -> None:
        self._sender = sender
        self._reader = reader
        self._prepare = prepare or reader.read
        self._rate = rate
        self._from_line = from_line
        self._skip_invalid = skip_invalid
        self._on_progress = on_progress
        self._stop = asyncio.Event()
        self._taken = 0
        self._last = from_line - 1
        self._begun = 0.0
        self._on_the_way: deque[tuple[list[int], asyncio.Task[list[RecordMetadata]]]] = deque()
        self.outcome = Outcome()

    def stop(self) -> None:
        """Send nothing new; what is on its way is finished."""
        self.outcome.interrupted = True
        self._stop.set()

    async def run(self, chunks: Chunks) -> Outcome:
        """Publish until the end of the events, the first failure, or a stop."""
        self._begun = time.monotonic()
        try:
            async with contextlib.aclosing(chunks):
                while self._goes_on and (chunk := await self._next(chunks)) is not None:
                    for part in self._slices(chunk):
                        await self._publish(part)
        except RejectedEventError as error:
            self._end_at(error.line or (error.index or 0) + 1)
            self.outcome.invalid.append(error)
        if self.outcome.interrupted:
            self._end_at(self._last + 1)
        while self._on_the_way:
            await self._settle()
        self.outcome.seconds = time.monotonic() - self._begun
        return self.outcome

    @property
    def _goes_on(self) -> bool:
        return not self._stop.is_set() and self.outcome.resume_from is None

    async def _next(self, chunks: Chunks) -> list[RawEvent] | None:
        """Wait for the next chunk, or for the stop; settle what ends meanwhile."""
        coming = asyncio.ensure_future(anext(chunks, None))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            while True:
                sent = [task for _, task in self._on_the_way]
                await asyncio.wait({coming, stop, *sent}, return_when="FIRST_COMPLETED")
                while self._on_the_way and self._on_the_way[0][1].done():
                    await self._settle()
                if coming.done():
                    return coming.result()
                if not self._goes_on:
                    return None
        finally:
            stop.cancel()
            coming.cancel()
            await asyncio.wait({coming})  # else the chunks could not be closed

    def _slices(self, chunk: list[RawEvent]) -> list[list[RawEvent]]:
        wanted = [raw for raw in chunk if _number(raw) >= self._from_line]
        most = len(wanted) if self._rate is None else max(1, int(self._rate * _SLICE_S))
        return [wanted[at : at + most] for at in range(0, len(wanted), most or 1)]

    async def _publish(self, raws: list[RawEvent]) -> None:
        await self._keep_pace()
        if not self._goes_on:
            self._end_at(_number(raws[0]))
            return
        numbers, records = self._check(raws)
        self._taken += len(raws)
        self._last = _number(raws[-1])
        if records:
            task = asyncio.ensure_future(self._sender.send_many(records))
            self._on_the_way.append((numbers, task))
        self._on_progress(self.outcome, sum(len(raw.json) + 1 for raw in raws))
        while len(self._on_the_way) >= _IN_FLIGHT:
            await self._settle()

    def _check(self, raws: list[RawEvent]) -> tuple[list[int], list[OutRecord]]:
        """Return the records of valid events, up to the first invalid one unless it is skipped."""
        numbers, records = [], []
        topic = self._reader.topic.name
        for raw in raws:
            try:
                event = self._prepare(raw)
            except RejectedEventError as error:
                if len(self.outcome.invalid) < _MISTAKES_KEPT:
                    self.outcome.invalid.append(error)
                if self._skip_invalid:
                    self.outcome.skipped += 1
                    continue
                self._end_at(_number(raw))
                break
            numbers.append(_number(raw))
            records.append(OutRecord(topic, event.value, event.key, event.headers))
        return numbers, records

    async def _settle(self) -> None:
        """Wait for the oldest chunk on its way, and count what Kafka has of it."""
        numbers, task = self._on_the_way.popleft()
        try:
            await task
        except PublishError as error:
            results = error.results if isinstance(error, NotAcknowledgedError) else ()
            there = [place is not None for place in results] or [False] * len(numbers)
            first = there.index(False) if False in there else 0
            if self.outcome.error is None:
                self.outcome.error = error
            self._end_at(numbers[first])
            self.outcome.acknowledged += sum(there)
            self.outcome.also_published += sum(there[first:])
        else:
            self.outcome.acknowledged += len(numbers)
            if self.outcome.error is not None:
                self.outcome.also_published += len(numbers)
        self._on_progress(self.outcome, 0)

    async def _keep_pace(self) -> None:
        if self._rate is None:
            return
        early_s = self._begun + self._taken / self._rate - time.monotonic()
        if early_s > 0:
            with_stop = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({with_stop}, timeout=early_s)
            with_stop.cancel()

    def _end_at(self, number: int) -> None:
        before = self.outcome.resume_from
        self.outcome.resume_from = number if before is None else min(before, number)


def _number(raw: RawEvent) -> int:
    """Return an event's line, or its place in the array counted from 1."""
    return raw.line if raw.line is not None else (raw.position or 0) + 1
