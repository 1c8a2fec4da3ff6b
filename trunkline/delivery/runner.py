"""Run the events of one assigned partition, in order or by key, until it is revoked."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import monotonic
from typing import Any

from trunkline.delivery.chain import Chain
from trunkline.delivery.handler import Subscription
from trunkline.delivery.lanes import KeyLanes
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.progress import Standing

#: A handler that never suspends still lets the event loop breathe this often.
SLICE_S = 0.02
#: How long a cancelled handler may take to clean up before it is left behind.
_CANCEL_GRACE_S = 1.0
_POLL_S = 0.005


class Runner(ABC):
    """Take a partition's records through the chain; end when told, finishing what is running."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._stopping = False
        self._took_over = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def tracker(self) -> OffsetTracker:
        """The partition's offsets."""
        return self.chain.tracker

    @property
    def recovering(self) -> bool:
        """Whether what earlier owners of the partition held back is still being read."""
        return bool(self._tasks) and not self._took_over

    def standing(self) -> list[Standing]:
        """Return the oldest event that has not finished, and what excuses it."""
        oldest = self.tracker.oldest_unfinished
        if oldest is None:
            return []
        excuse = self.chain.excuse(oldest)
        if not excuse and self._busy and self.chain.held_up >= self._busy:
            excuse = "the events in front of it are held up"
        return [Standing(f"the event at offset {oldest} has not been finished", excuse)]

    @property
    def _busy(self) -> int:
        """How many tasks are at an event."""
        return len(self._tasks)

    @abstractmethod
    def feed(self, records: Sequence[Any]) -> None:
        """Add fetched records, in the order of their offsets."""

    @abstractmethod
    def _wake_all(self) -> None:
        """Make idle tasks look at ``_stopping``."""

    async def drain(self, timeout_s: float) -> bool:
        """Start nothing new, and wait for the events that run and those being handed over.

        What has not ended in time is cancelled and stays unfinished: it will be delivered again.

        Returns:
            Whether everything ended by itself.

        """
        deadline = monotonic() + timeout_s
        self._stopping = True
        self._wake_all()
        self.chain.end_waits()
        clean = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                clean = False
                await asyncio.wait(late, timeout=_CANCEL_GRACE_S)
        while self.chain.handing_over and monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return clean and not self.chain.handing_over

    def _spawn(self) -> None:
        task = asyncio.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Only a mistake of ours gets here: make it as loud as it is.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "A partition's runner died", "exception": task.exception()}
            )

    async def _take_over(self) -> None:
        """Before the first event: learn what earlier owners of the partition held back."""
        if not self._took_over:
            await self.chain.take_over()
            self.chain.held_up_s()  # that was before the first event, and is no part of its time
            self._took_over = True

    @abstractmethod
    async def _run(self) -> None:
        """Work until stopping."""


class _QueueRunner(Runner):
    """One task that takes the records in the order of their offsets."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self._queue: deque[Any] = deque()
        self._fed = asyncio.Event()

    def feed(self, records: Sequence[Any]) -> None:
        """Line the records up in the order of their offsets."""
        self.chain.deliver(records)
        self._queue.extend(records)
        self._fed.set()
        if not self._tasks and not self._stopping:
            self._spawn()

    def _wake_all(self) -> None:
        self._fed.set()

    async def _wait_for_records(self) -> None:
        if not self._queue:
            self._fed.clear()
            await self._fed.wait()


class SerialRunner(_QueueRunner):
    """One event after the other."""

    async def _run(self) -> None:
        queue, chain, timer = self._queue, self.chain, self.chain.timer
        await self._take_over()
        while not self._stopping:
            await self._wait_for_records()
            began = run_began = monotonic()
            while queue and not self._stopping:
                count = min(timer.stride, len(queue))
                await chain.each(self._take(count))
                now = monotonic()
                timer.note(count, now - run_began - chain.held_up_s())
                if now - began > SLICE_S:
                    await asyncio.sleep(0)
                    now = began = monotonic()
                run_began = now

    def _take(self, most: int) -> Iterator[Any]:
        queue = self._queue
        for _ in range(most):
            if self._stopping:
                return
            yield queue.popleft()


class BatchRunner(_QueueRunner):
    """One batch of events after the other.

    ``before`` is called ahead of every batch, in the task that runs the handler (tables need the
    current event there).
    """

    def __init__(self, chain: Chain, max_batch: int, before: Callable[[], None]) -> None:
        super().__init__(chain)
        self._max_batch = max_batch
        self._before = before

    async def _run(self) -> None:
        queue = self._queue
        await self._take_over()
        while not self._stopping:
            await self._wait_for_records()
            while queue and not self._stopping:
                records = list(islice(queue, self._max_batch))
                for _ in records:
                    queue.popleft()
                self._before()
                await self.chain.timed_batch(records)
                await asyncio.sleep(0)


class KeyedRunner(Runner):
    """Up to ``concurrency`` keys at once, each key's events strictly one after the other.

    Tasks are made as they are needed and kept. A task that takes an event wakes one other first, so
    that somebody goes on if this handler waits; a handler that never waits runs in line, and the
    one woken task costs a single switch for all the events that it found done.
    """

    def __init__(self, chain: Chain, concurrency: int) -> None:
        super().__init__(chain)
        self._concurrency = concurrency
        self._lanes = KeyLanes()
        self._idle: list[asyncio.Future[None]] = []
        self._waking = False
        #: The highest offset that was begun.
        self._begun = -1

    async def drain(self, timeout_s: float) -> bool:
        """Do as every runner, and also what waits behind its key with later events already done.

        Only a prefix without holes can be committed: without this, a restart would repeat all that
        was finished out of order.
        """
        self._lanes.drop_after(self._begun)
        return await super().drain(timeout_s)

    def feed(self, records: Sequence[Any]) -> None:
        """Line the records up by key."""
        if self._stopping:
            return
        self.chain.deliver(records)
        put = self._lanes.put
        for record in records:
            put(record)
        self._wake_one()

    @property
    def _busy(self) -> int:
        return len(self._tasks) - len(self._idle)

    def _wake_one(self) -> None:
        if self._waking or self._stopping or not self._lanes.has_runnable():
            return
        if self._idle:
            self._waking = True
            self._idle.pop().set_result(None)
        elif len(self._tasks) < self._concurrency:
            self._waking = True
            self._spawn()

    def _wake_all(self) -> None:
        for future in self._idle:
            future.set_result(None)
        self._idle.clear()

    async def _run(self) -> None:
        lanes, chain, timer = self._lanes, self.chain, self.chain.timer
        each = chain.each
        await self._take_over()
        self._waking = False
        began, count = monotonic(), 0
        run_began = began
        while True:
            record = lanes.take()
            if record is None:
                if count:
                    timer.note(count, monotonic() - run_began - chain.held_up_s())
                if self._stopping:  # whoever frees a key goes on with its next event
                    return
                await self._sleep_until_woken()
                began, count = monotonic(), 0
                run_began = began
                continue
            self._begun = max(self._begun, record.offset)
            self._wake_one()
            await each((record,))
            lanes.done(record)
            count += 1
            if count >= timer.stride:
                now = monotonic()
                timer.note(count, now - run_began - chain.held_up_s())
                if now - began > SLICE_S:
                    await asyncio.sleep(0)
                    now = began = monotonic()
                run_began, count = now, 0

    async def _sleep_until_woken(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        await future
        self._waking = False


def runner_for(subscription: Subscription, chain: Chain, before: Callable[[], None]) -> Runner:
    """Return the runner for a subscription's shape and concurrency."""
    if subscription.shape == "batch":
        return BatchRunner(chain, subscription.max_batch, before)
    if subscription.concurrency > 1:
        return KeyedRunner(chain, subscription.concurrency)
    return SerialRunner(chain)
