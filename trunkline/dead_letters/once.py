"""Do things with dead letters exactly once, through crashes, Ctrl-C and a second run beside it.

What is done and the note that it was done go in one Kafka transaction. There is one transactional
id, so a second run fences the first: after it has opened, and only then, it reads the notes to
their end, and from there on nobody else can add one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trunkline.dead_letters.actions import Action, Actions, action_record
from trunkline.dead_letters.redrive import Item
from trunkline.delivery.fenced import TransactionLostError
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError, TrunklineError

#: What one transaction holds at most.
_BATCH = 500
_BATCH_BYTES = 4 * 1024 * 1024
#: Losses in a row before it gives up, and the pause before each new attempt.
_MAX_LOSSES = 5
_PAUSE_S = 1.0


class TakenOverError(TrunklineError):
    """Another run has begun: it goes on where this one was stopped."""


class Transactions(Protocol):
    """What is needed of :class:`trunkline.delivery.fenced.FencedTransactions`."""

    async def open(self) -> None:
        """Become the only one who can write."""

    async def close(self) -> None:
        """Let go."""

    async def transact(self, records: Sequence[OutRecord], /) -> Any:
        """Write all of the records, or none."""


@dataclass
class Outcome:
    """What became of the items.

    Attributes:
        done: How many were done by this run.
        already: How many had been done by then, by somebody else.
        refused: Id and reason of those that Kafka takes neither now nor later.
        interrupted: Whether it was stopped before the end.

    """

    done: int = 0
    already: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False


class OnceWriter:
    """Does what items say, and notes it.

    Args:
        transactions: Those of the one transactional id.
        read_actions: Reads all notes up to now.
        topic: Real name of the actions topic.
        by: Who does it.
        run: Name of this run.
        rate: Most items a second, None for no limit.
        on_progress: Called with the outcome so far after each transaction.
        on_written: Called with what each transaction has written for its items.

    """

    def __init__(
        self,
        transactions: Transactions,
        read_actions: Callable[[], Awaitable[Actions]],
        topic: str,
        *,
        by: str = "",
        run: str = "",
        rate: float | None = None,
        on_progress: Callable[[Outcome], None] = lambda _: None,
        on_written: Callable[[Sequence[OutRecord]], None] = lambda _: None,
    ) -> None:
        self._on_written = on_written
        self._transactions = transactions
        self._read_actions = read_actions
        self._topic = topic
        self._by = by
        self._run = run
        self._rate = rate
        self._on_progress = on_progress
        self._actions = Actions()
        self._stop = asyncio.Event()
        self._next_at = 0.0
        # A slow rate means small transactions, so that the items flow instead of coming in lumps.
        self._batch = _BATCH if rate is None else max(1, min(_BATCH, int(rate)))
        self.outcome = Outcome()

    def stop(self) -> None:
        """End after the transaction that is on its way."""
        self._stop.set()

    async def write(self, items: AsyncIterator[Item]) -> Outcome:
        """Do all that is not done yet, in order.

        Raises:
            TakenOverError: Another run has begun.
            BrokerError: Kafka is away, and stayed away.

        """
        try:
            await self._open()
            batch: list[Item] = []
            async for item in items:
                if self._stop.is_set():
                    self.outcome.interrupted = True
                    break
                batch.append(item)
                if self._is_full(batch):
                    await self._flush(batch)
                    batch = []
            await self._flush(batch)
        finally:
            await self._transactions.close()
        return self.outcome

    def _is_full(self, batch: list[Item]) -> bool:
        return len(batch) >= self._batch or sum(i.size_bytes for i in batch) >= _BATCH_BYTES

    async def _flush(self, batch: list[Item]) -> None:
        left = self._not_done(batch)
        if not left:
            return
        await self._keep_the_rate(len(left))
        if self._stop.is_set():
            self.outcome.interrupted = True
            return
        await self._write(left)
        self._on_progress(self.outcome)

    async def _write(self, items: list[Item]) -> None:
        losses = 0
        while items:
            try:
                await self._transactions.transact(self._records(items))
            except TransactionLostError as lost:
                losses += 1
                if lost.fenced:
                    raise TakenOverError(_TAKEN_OVER) from None
                if losses == _MAX_LOSSES:
                    raise BrokerError(
                        f"It failed {losses} times in a row: {lost.reason}."
                    ) from lost
                await self._open(None if losses == 1 else _PAUSE_S)
                items = self._lost(items)
                if lost.refused:
                    await self._write_singly(items, lost.reason)
                    return
            else:
                self.outcome.done += len(items)
                self._note(items)
                self._on_written([item.record for item in items if item.record is not None])
                return

    async def _write_singly(self, items: list[Item], reason: str) -> None:
        """Find the item that Kafka refuses for itself, so that it holds up no other."""
        if len(items) == 1:
            self.outcome.refused.append((items[0].id, reason))
            return
        for item in items:
            await self._write([item])

    async def _open(self, pause_s: float | None = None) -> None:
        """Become the only writer, then read what is done; what was on its way is settled."""
        for attempt in range(1, _MAX_LOSSES + 1):
            if pause_s is not None:
                await asyncio.sleep(pause_s)
            try:
                await self._transactions.open()
                self._actions = await self._read_actions()
            except BrokerError:
                if attempt == _MAX_LOSSES or not self.outcome.done:
                    raise
                pause_s = _PAUSE_S * attempt
            else:
                return

    def _not_done(self, items: list[Item]) -> list[Item]:
        left: dict[tuple[str, int], Item] = {}
        for item in items:
            key = (item.id, item.timestamp_ms)
            if self._actions.on(*key) is None and key not in left:
                left[key] = item
            else:
                self.outcome.already += 1  # by somebody else, or a file has it twice
        return list(left.values())

    def _lost(self, items: list[Item]) -> list[Item]:
        """Return what a transaction that failed has not done: it may have been committed."""
        others = []
        for item in items:
            action = self._actions.on(item.id, item.timestamp_ms)
            if action is not None and action.run == self._run:
                self.outcome.done += 1
            else:
                others.append(item)
        return self._not_done(others)

    def _note(self, items: list[Item]) -> None:
        for item in items:
            self._actions.note(item.id, self._action(item))

    def _records(self, items: list[Item]) -> list[OutRecord]:
        records = []
        for item in items:
            if item.record is not None:
                records.append(item.record)
            records.append(action_record(self._topic, item.id, self._action(item)))
        return records

    def _action(self, item: Item) -> Action:
        now_ms = int(time.time() * 1000)
        return Action(item.action, now_ms, item.timestamp_ms, item.to, self._by, self._run)

    async def _keep_the_rate(self, count: int) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        wait_s = self._next_at - now
        self._next_at = max(now, self._next_at) + count / self._rate
        if wait_s > 0:
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                pass


_TAKEN_OVER = (
    "Another 'trunkline dlq' run took over, or Kafka rolled a transaction back because it took too "
    "long. Nothing was done twice or half."
)
