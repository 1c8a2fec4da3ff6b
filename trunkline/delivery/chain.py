"""The delivery chain around a handler: decode → validate → handle → hand over a failure → finish.

An event is finished, so that its offset may be committed, only when the handler returned or the
broker has acknowledged the hand-over. This is the one place that catches broadly: no event can stop
the ones behind it, and nothing is swallowed.

An event whose key waits for a failed one is parked behind it, one that was handed over before a
crash is passed over; and while what the handler needs is away, or an operator has paused the
partition, events wait here, unfinished.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any, Protocol

from trunkline.delivery.decode import check_key, decoder_for, explain, headed_decoder_for
from trunkline.delivery.failure import Failure
from trunkline.delivery.handler import Context
from trunkline.delivery.holds import PartitionHolds
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.pauses import PartitionPause
from trunkline.delivery.quota import LogQuota
from trunkline.delivery.target import Target
from trunkline.delivery.timing import RunTimer
from trunkline.errors import InvalidEventError

_quota = LogQuota(logging.getLogger(__name__))


class Source(Protocol):
    """Where the failed events of one source partition go; see ``keeper.SourcePartition``."""

    @property
    def holds(self) -> PartitionHolds:
        """What is held on the partition."""

    async def take_over(self) -> None:
        """Learn what earlier owners held; before anything is handled."""

    def hand_over(self, context: Context, failure: Failure, done: Callable[[], None]) -> None:
        """Forward a failed event; call ``done`` once the broker acknowledged it."""

    def park(self, context: Context, done: Callable[[], None]) -> None:
        """Forward an event that waits behind a failed one of its key."""


class Chain:
    """Take records of one partition, one at a time or in batches, to their end.

    A record is whatever has ``offset``, ``timestamp`` (ms), ``key``, ``value`` and ``headers``.

    Args:
        target: The handler, with what its failures are due.
        tracker: The partition's offsets.
        source: Where its failed events go.
        partition: Which one.
        pause: Whether an operator has paused it.

    """

    __slots__ = (
        "_check_key",
        "_counters",
        "_decode",
        "_decode_headed",
        "_ending",
        "_handed",
        "_handle",
        "_held_up",
        "_held_up_s",
        "_holds",
        "_is_batch",
        "_partition",
        "_pause",
        "_source",
        "_target",
        "_topic",
        "_wants_context",
        "timer",
        "tracker",
    )

    def __init__(
        self,
        target: Target,
        tracker: OffsetTracker,
        source: Source,
        partition: int,
        pause: PartitionPause | None = None,
    ) -> None:
        subscription = target.subscription
        self.tracker = tracker
        self.timer = RunTimer(target.handler_seconds)
        self._target = target
        self._topic = subscription.topic
        self._partition = partition
        self._handle = subscription.handler
        self._is_batch = subscription.shape == "batch"
        self._wants_context = subscription.wants_context
        self._decode = decoder_for(subscription.model)
        #: Only a record that has headers can be a CloudEvent: all others pay one look at them.
        self._decode_headed = headed_decoder_for(subscription.model)
        self._check_key = check_key if subscription.model else _take_any_key
        self._source = source
        self._holds = source.holds
        self._counters = target.counters
        #: Failed events whose hand-over the broker has not acknowledged yet.
        self._handed: set[int] = set()
        #: Tasks that wait for the breaker or the flood guard, and do nothing else: at which offset
        #: (None: before the first event), and for what.
        self._held_up: dict[asyncio.Task[Any], tuple[int | None, str]] = {}
        #: How long a task was held up since :meth:`held_up_s` was last asked.
        self._held_up_s: dict[asyncio.Task[Any], float] = {}
        self._pause = pause or PartitionPause()
        self._ending = False

    @property
    def handing_over(self) -> int:
        """How many failed events the failures topic has not acknowledged yet."""
        return len(self._handed)

    @property
    def held_up(self) -> int:
        """How many tasks wait for better times."""
        return len(self._held_up)

    def excuse(self, offset: int) -> str:
        """Return why an event's handler does not run, ``""`` when nothing holds the event up."""
        if offset in self._handed:
            return "its hand-over to the failures topic is not acknowledged yet"
        for held, why in self._held_up.values():
            if held is None or held == offset:
                return why
        return ""

    def held_up_s(self) -> float:
        """Return how long the running task was held up since it last asked."""
        task = asyncio.current_task()
        return self._held_up_s.pop(task, 0.0) if self._held_up_s and task else 0.0

    async def take_over(self) -> None:
        """Learn what earlier owners of the partition held back; before anything is handled."""
        await self._hold_up(self._source.take_over(), None, "the group's held keys are being read")

    def deliver(self, records: Sequence[Any]) -> None:
        """Note records that were fetched, before any of them is handled."""
        self._holds.deliver(records)

    def end_waits(self) -> None:
        """End the tasks that wait for better times: their events stay unfinished."""
        self._ending = True
        for task in self._held_up:
            task.cancel()

    async def each(self, records: Iterable[Any]) -> None:
        """Take records through the chain one after the other.

        Only the cancellation of the task gets out. This is the hot path: a handler that does not
        suspend costs no task and no switch.
        """
        decode, decode_headed = self._decode, self._decode_headed
        handle, finish = self._handle, self.tracker.finish
        counters, wants_context = self._counters, self._wants_context
        keys, singles = self._holds.keys, self._holds.singles
        breaker, pause = self._target.breaker, self._pause
        for record in records:
            is_held = (keys and record.key in keys) or (singles and record.offset in singles)
            if (is_held or pause.on) and await self._divert(record):
                continue
            try:
                key = record.key
                if key is not None and not key.isascii():
                    self._check_key(key)
                headers, value = record.headers, record.value
                event = decode_headed(headers, value) if headers else decode(value)
            except Exception as error:
                await self._refuse(record, error)
                continue
            if breaker.is_open:
                await self._try(((record, event),))
                continue
            try:
                if wants_context:
                    await handle(event, self._context(record))
                else:
                    await handle(event)
            except (Exception, SystemExit) as error:
                await self._judge(record, event, error)
            except asyncio.CancelledError as error:
                raise_if_ours(error)
                await self._judge(record, event, error)
            else:
                finish(record.offset)
                counters.handled += 1

    async def timed_batch(self, records: Sequence[Any]) -> None:
        """Do as :meth:`batch`, and note how long it took: waiting for better times is not work."""
        began = monotonic()
        await self.batch(records)
        self._target.handler_seconds.observe(monotonic() - began - self.held_up_s())

    async def batch(self, records: Sequence[Any]) -> None:
        """Take records of one partition, in order, through a batch handler.

        When the handler raises, nobody knows which event it was: each is then handled by itself, so
        that only the bad ones fail (they are handled again, which at-least-once allows).
        """
        if self._pause.on:
            await self._until_resumed()
        if good := await self._decode_all(records):
            await self._handle_batch(good)

    async def _handle_batch(self, good: Sequence[tuple[Any, Any]]) -> None:
        if not self._target.breaker.is_open:
            failure = await self._call(good)
            if failure is None:
                self._handled(good)
                return
            if len(good) == 1:
                await self._judge(*good[0], failure)
                return
            if self._target.breaker.takes(failure):
                await self._try(good)
                return
        for pair in good:
            if not (self._holds and await self._divert(pair[0])):
                await self._try((pair,))

    async def _decode_all(self, records: Sequence[Any]) -> list[tuple[Any, Any]]:
        good = []
        decode, decode_headed = self._decode, self._decode_headed
        keys, singles = self._holds.keys, self._holds.singles
        for record in records:
            is_held = (keys and record.key in keys) or (singles and record.offset in singles)
            if is_held and await self._divert(record):
                continue
            try:
                self._check_key(record.key)
                headers, value = record.headers, record.value
                event = decode_headed(headers, value) if headers else decode(value)
                good.append((record, event))
            except Exception as error:
                await self._refuse(record, error)
        return good

    async def _call(self, good: Sequence[tuple[Any, Any]]) -> BaseException | None:
        """Call the handler; returns what it raised."""
        try:
            if self._is_batch:
                events = [event for _, event in good]
                if self._wants_context:
                    await self._handle(events, [self._context(record) for record, _ in good])
                else:
                    await self._handle(events)
                return None
            record, event = good[0]
            if self._wants_context:
                await self._handle(event, self._context(record))
            else:
                await self._handle(event)
        except (Exception, SystemExit) as error:
            return error
        except asyncio.CancelledError as error:
            raise_if_ours(error)
            return error
        return None

    def _handled(self, good: Sequence[tuple[Any, Any]]) -> None:
        self.tracker.finish_many([record.offset for record, _ in good])
        self._counters.handled += len(good)

    # -- what does not go the usual way

    async def _divert(self, record: Any) -> bool:
        """Wait while paused; pass over what was handed over before, park what waits for its key.

        What no handler will ever see waits for nobody.
        """
        if self._pause.on:
            await self._until_resumed()
        verdict = self._holds.verdict(record)
        if verdict == "handle":
            return False
        if verdict == "pass over":
            self._counters.passed_over += 1
            self.tracker.finish(record.offset)
            return True
        try:
            self._check_key(record.key)
            self._decode_headed(record.headers, record.value)
        except Exception as error:
            await self._refuse(record, error)
            return True
        self._counters.parked += 1
        offset = record.offset
        self._handed.add(offset)
        self._source.park(self._context(record), lambda: self._handed_over(offset))
        return True

    async def _judge(self, record: Any, event: Any, error: BaseException) -> None:
        """Hand a failed event over, or try it again when its failure is its dependency's."""
        if self._target.breaker.takes(error):
            await self._try(((record, event),))
        else:
            await self._fail(record, error)

    async def _try(self, good: Sequence[tuple[Any, Any]]) -> None:
        """Handle events when the breaker lets them, until their dependency is there.

        Several of them fail together only for their dependency: for any other failure each is
        tried by itself.
        """
        breaker = self._target.breaker
        while True:
            if self._pause.on:
                await self._until_resumed()
            async with AsyncExitStack() as stack:
                turn = stack.enter_async_context(breaker.admission())
                await self._hold_up(turn, good[0][0].offset, "the breaker is open")
                if self._pause.on:
                    continue  # paused while it waited: somebody else's turn, to find the same
                failure = await self._call(good)
                if failure is None:
                    breaker.succeeded()
                    self._handled(good)
                    return
                is_down = breaker.takes(failure)
            if is_down:
                continue
            if len(good) == 1:
                await self._fail(good[0][0], failure)
                return
            for pair in good:
                if not (self._holds and await self._divert(pair[0])):
                    await self._try((pair,))
            return

    async def _until_resumed(self) -> None:
        await self._hold_up(self._pause.wait(), None, "an operator has paused it")

    async def _hold_up(self, wait: Awaitable[Any], offset: int | None, why: str) -> None:
        """Wait for something that may take long, unless the partition is given away."""
        task = asyncio.current_task()
        assert task is not None
        self._held_up[task] = offset, why
        if self._ending:  # it began to wait after all who waited were told to end
            task.cancel()
        began = monotonic()
        try:
            await wait
        finally:
            del self._held_up[task]
            self._held_up_s[task] = self._held_up_s.get(task, 0.0) + monotonic() - began

    async def _refuse(self, record: Any, error: Exception) -> None:
        self._counters.invalid += 1
        if not isinstance(error, InvalidEventError):
            error = explain(error, record.value)
        await self._hand_over(record, Failure.of(error, "invalid"))

    async def _fail(self, record: Any, error: BaseException) -> None:
        kind = self._target.policy.kind_of(error)
        self._counters.failed += 1
        self._counters.permanent += kind == "permanent"
        await self._hand_over(record, Failure.of(error, kind))

    async def _hand_over(self, record: Any, failure: Failure) -> None:
        if not self._target.policy.retries(failure.kind):
            guard = self._target.guard
            while not guard.allows():
                await self._hold_up(guard.wait(), record.offset, "the flood guard has tripped")
        context = self._context(record)
        _quota.warning(
            "%s: %s[%s]@%s failed: %s: %s",
            failure.kind,
            context.topic,
            context.partition,
            context.offset,
            failure.exception,
            failure.message,
        )
        offset = record.offset
        self._handed.add(offset)
        self._source.hand_over(context, failure, lambda: self._handed_over(offset))

    def _context(self, record: Any) -> Context:
        return context_of(record, self._topic, self._partition)

    def _handed_over(self, offset: int) -> None:
        self._handed.discard(offset)
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


def _take_any_key(_: bytes | None) -> None:
    """Refuse no key: who takes records as they come takes theirs as well."""


def raise_if_ours(error: asyncio.CancelledError) -> None:
    """Let our own cancellation through; one that the handler let slip is its failure."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
