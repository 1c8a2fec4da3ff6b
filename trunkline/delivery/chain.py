"""The delivery chain around a handler: decode → validate → handle → hand over a failure → finish.

An event is finished, so that its offset may be committed, only when the handler returned or the
broker has acknowledged the hand-over. This is the one place that catches broadly: no event can stop
the ones behind it, and nothing is swallowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from trunkline.delivery.decode import check_key, decoder_for, explain
from trunkline.delivery.failure import Failure
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.offsets import OffsetTracker
from trunkline.errors import InvalidEventError, Permanent


class FailureSink(Protocol):
    """Takes failed events and calls back when the broker has them."""

    def hand_over(self, context: Context, failure: Failure, done: Callable[[], None]) -> None:
        """Forward a failed event; call ``done`` once the broker acknowledged it."""


class Counters:
    """What happened on one topic since this worker started."""

    __slots__ = ("delivered", "failed", "handed_over", "handled", "invalid")

    def __init__(self) -> None:
        self.delivered = 0
        self.handled = 0
        self.failed = 0
        self.invalid = 0
        self.handed_over = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Chain:
    """Take records of one partition, one at a time or in batches, to their end.

    A record is whatever has ``offset``, ``timestamp`` (ms), ``key``, ``value`` and ``headers``.
    """

    __slots__ = (
        "_counters",
        "_decode",
        "_handle",
        "_partition",
        "_sink",
        "_topic",
        "_wants_context",
        "handing_over",
        "tracker",
    )

    def __init__(
        self,
        subscription: Subscription,
        tracker: OffsetTracker,
        sink: FailureSink,
        counters: Counters,
        partition: int,
    ) -> None:
        self.tracker = tracker
        self._topic = subscription.topic
        self._partition = partition
        self._handle = subscription.handler
        self._wants_context = subscription.wants_context
        self._decode = decoder_for(subscription.model)
        self._sink = sink
        self._counters = counters
        #: Failed events whose hand-over the broker has not acknowledged yet.
        self.handing_over = 0

    async def each(self, records: Iterable[Any]) -> None:
        """Take records through the chain one after the other.

        Only the cancellation of the task gets out. This is the hot path: a handler that does not
        suspend costs no task and no switch.
        """
        decode, handle, finish = self._decode, self._handle, self.tracker.finish
        counters, wants_context = self._counters, self._wants_context
        for record in records:
            try:
                key = record.key
                if key is not None and not key.isascii():
                    check_key(key)
                event = decode(record.value)
            except Exception as error:
                self._refuse(record, error)
                continue
            try:
                if wants_context:
                    await handle(event, self._context(record))
                else:
                    await handle(event)
            except (Exception, SystemExit) as error:
                self._fail(record, error)
            except asyncio.CancelledError as error:
                _raise_if_ours(error)
                self._fail(record, error)
            else:
                finish(record.offset)
                counters.handled += 1

    async def batch(self, records: Sequence[Any]) -> None:
        """Take records of one partition, in order, through a batch handler.

        When the handler raises, nobody knows which event it was: each is then handled by itself, so
        that only the bad ones fail (they are handled again, which at-least-once allows).
        """
        if good := self._decode_all(records):
            await self._handle_batch(good)

    async def _handle_batch(self, good: Sequence[tuple[Any, Any]]) -> None:
        failure: BaseException
        try:
            await self._call_batch(good)
        except (Exception, SystemExit) as error:
            failure = error
        except asyncio.CancelledError as error:
            _raise_if_ours(error)
            failure = error
        else:
            self.tracker.finish_many([record.offset for record, _ in good])
            self._counters.handled += len(good)
            return
        if len(good) == 1:
            self._fail(good[0][0], failure)
            return
        for pair in good:
            await self._handle_batch([pair])

    def _decode_all(self, records: Sequence[Any]) -> list[tuple[Any, Any]]:
        good = []
        decode = self._decode
        for record in records:
            try:
                check_key(record.key)
                good.append((record, decode(record.value)))
            except Exception as error:
                self._refuse(record, error)
        return good

    async def _call_batch(self, good: Sequence[tuple[Any, Any]]) -> None:
        events = [event for _, event in good]
        if self._wants_context:
            await self._handle(events, [self._context(record) for record, _ in good])
        else:
            await self._handle(events)

    def _refuse(self, record: Any, error: Exception) -> None:
        self._counters.invalid += 1
        if not isinstance(error, InvalidEventError):
            error = explain(error, record.value)
        self._hand_over(record, Failure.of(error, "invalid"))

    def _fail(self, record: Any, error: BaseException) -> None:
        self._counters.failed += 1
        self._hand_over(record, Failure.of(error, kind_of(error)))

    def _hand_over(self, record: Any, failure: Failure) -> None:
        self.handing_over += 1
        offset = record.offset
        self._sink.hand_over(self._context(record), failure, lambda: self._handed_over(offset))

    def _context(self, record: Any) -> Context:
        return context_of(record, self._topic, self._partition)

    def _handed_over(self, offset: int) -> None:
        self.handing_over -= 1
        self._counters.handed_over += 1
        self.tracker.finish(offset)


def context_of(record: Any, topic: str, partition: int) -> Context:
    """Return where a fetched record came from."""
    return Context(
        topic,
        partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )


def kind_of(error: BaseException) -> str:
    """Return ``permanent`` or ``transient``; ``raise … from Permanent(…)`` counts as permanent."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None:
            break
        if isinstance(seen, Permanent | InvalidEventError):
            return "permanent"
        seen = seen.__cause__
    return "transient"


def _raise_if_ours(error: asyncio.CancelledError) -> None:
    """Let our own cancellation through; one that the handler let slip is its failure."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
