"""The way to one partition: what waits for it, in order, and at most two batches in flight.

While one batch is with the broker the next one is built, and all that comes in meanwhile waits for
the one after: many small calls share batches without lingering, and one future serves a batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiokafka import errors

from trunkline.delivery.producer_call import Call
from trunkline.delivery.producer_link import NotSentError, ProducerLink, explain

_MAX_IN_FLIGHT = 2
_MANY = 2**31
_KILLED = "the connection was closed, because Kafka did not answer in time or refused a batch on it"

#: The batch was refused because of the producer's state, not because of what is in it, and nothing
#: of it was written: it goes again, as it was, over a new link.
_STATE_REFUSALS = (
    NotSentError,
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerIdMapping,
    errors.InvalidProducerEpoch,
    errors.ProducerFenced,
)
#: The broker refused the whole batch because of one record (or of its size), and wrote nothing: it
#: goes again in two halves, until the culprit is alone.
_RECORD_REFUSALS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
    errors.UnknownError,  # what aiokafka makes of INVALID_RECORD (87), which it does not know
)


@dataclass(slots=True)
class Run:
    """Records of one call for one partition, by their positions in the call."""

    call: Call
    indices: list[int]
    #: Most records in the batch that this run goes with.
    limit: int = _MANY


@dataclass(slots=True, eq=False)
class _Sent:
    link: ProducerLink
    runs: list[Run]
    again: list[Run] | None = None
    settled: bool = False


class Lane:
    """One partition's queue.

    Args:
        link: Returns the current link, waiting for one when the broker is away.
        retire: Called with a link that refused a batch.
        linger_s: How long to wait for company before a batch is built on an idle lane.

    """

    def __init__(
        self,
        topic: str,
        partition: int,
        link: Callable[[], Awaitable[ProducerLink]],
        retire: Callable[[ProducerLink], None],
        linger_s: float,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._link = link
        self._retire = retire
        self._linger_s = linger_s
        self._runs: deque[Run] = deque()
        self._sent: deque[_Sent] = deque()
        self._changed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    def add(self, run: Run) -> None:
        """Queue records behind what waits already."""
        self._runs.append(run)
        self._changed.set()
        if self._pump is None:
            self._pump = asyncio.create_task(self._send_all(), name=f"lane {self._topic}")

    def forget_failed(self) -> None:
        """Drop failed calls from the front of the queue, so that they are not kept in memory."""
        while self._runs and self._runs[0].call.failed:
            self._runs.popleft()

    def retire_links_of(self, call: Call) -> None:
        """Retire the links over which batches with records of this call are in flight."""
        for sent in self._sent:
            if any(run.call is call for run in sent.runs):
                self._retire(sent.link)

    async def stop(self) -> None:
        """Send nothing more."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    async def _send_all(self) -> None:
        try:
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            while self._runs or self._sent:
                if not await self._send_next():
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            self._pump = None

    async def _send_next(self) -> bool:
        """Send one batch; False when something has to happen first."""
        self.forget_failed()
        if not self._runs or len(self._sent) == _MAX_IN_FLIGHT:
            return False
        link = await self._link()
        if link.retired:
            return True
        if self._sent and self._sent[-1].link is not link:
            return False  # what the old link carries goes first: order
        batch = link.new_batch()
        sent = _Sent(link, self._fill(batch))
        if not sent.runs:
            return bool(self._runs)
        self._sent.append(sent)
        for run in sent.runs:
            run.call.took_off()
        try:
            future = await link.send(batch, self._topic, self._partition)
        except errors.KafkaError:
            self._settle(sent, NotSentError(), -1)  # aiokafka never took it
        else:
            future.add_done_callback(lambda done: self._on_end(sent, done))
        return True

    def _fill(self, batch: Any) -> list[Run]:
        """Move records from the front of the queue into the batch, until it is full."""
        filled: list[Run] = []
        room = _MANY
        append = batch.append
        while self._runs:
            run = self._runs[0]
            if run.call.failed:
                self._runs.popleft()
                continue
            room = min(room, run.limit - batch.record_count())
            records, taken = run.call.records, 0
            for index in run.indices if len(run.indices) <= room else run.indices[: max(room, 0)]:
                record = records[index]
                headers = list(record.headers) if record.headers else []
                if not append(
                    timestamp=record.timestamp_ms,
                    key=record.key,
                    value=record.value,
                    headers=headers,
                ):
                    break
                taken += 1
            if taken < len(run.indices):
                if taken:
                    filled.append(Run(run.call, run.indices[:taken], run.limit))
                    run.indices = run.indices[taken:]
                break
            room -= taken
            filled.append(self._runs.popleft())
        batch.close()
        return filled

    def _on_end(self, sent: _Sent, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            self._settle(sent, errors.ProducerClosed(), -1)
        elif (error := done.exception()) is not None:
            self._settle(sent, error, -1)
        else:
            self._settle(sent, None, done.result().offset)

    def _settle(self, sent: _Sent, error: BaseException | None, offset: int) -> None:
        sent.settled = True
        if error is None:
            self._acknowledge(sent.runs, offset)
        else:
            self._retire(sent.link)
            if not self._to_be_repeated(sent, error):
                reason = _KILLED if isinstance(error, errors.ProducerClosed) else explain(error)
                for run in sent.runs:
                    run.call.fail(self._topic, self._partition, reason, error)
        for run in sent.runs:
            run.call.landed()
        self._tidy()

    def _acknowledge(self, runs: list[Run], offset: int) -> None:
        for run in runs:
            run.call.acknowledge(self._topic, self._partition, run.indices, offset)
            if offset >= 0:
                offset += len(run.indices)

    def _to_be_repeated(self, sent: _Sent, error: BaseException) -> bool:
        if isinstance(error, _STATE_REFUSALS):
            sent.again = sent.runs
        elif isinstance(error, _RECORD_REFUSALS):
            records = sum(len(run.indices) for run in sent.runs)
            limit = (records + 1) // 2
            sent.again = [Run(r.call, r.indices, limit) for r in sent.runs] if records > 1 else None
        return sent.again is not None

    def _tidy(self) -> None:
        """Forget what is settled; put back what is to go again once nothing else is in flight."""
        if all(sent.settled for sent in self._sent):
            for sent in reversed(self._sent):
                self._runs.extendleft(reversed(sent.again or ()))
            self._sent.clear()
        else:
            while self._sent[0].settled and self._sent[0].again is None:
                self._sent.popleft()
        self._changed.set()
