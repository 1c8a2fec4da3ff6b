"""Publishes all events at an even pace, through every outage of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.chaos.events import Events
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import (
    NotAcknowledgedError,
    OutRecord,
    RecordMetadata,
    RecordProducer,
)
from trunkline.errors import BrokerError, PublishError

_TICK_S = 0.05
_MOST_AT_ONCE = 500
_PAUSE_S = 0.3


class Publisher:
    """Sends each event until it is acknowledged.

    What was not acknowledged may stand in its topic all the same, so an event may be there twice:
    two equal events are two events, and the topic says which ones there are.

    Attributes:
        acknowledged: Number of an event to where the broker says it is.
        resent: How many were sent again.

    """

    def __init__(self, servers: str, events: Events, count: int, seconds: float) -> None:
        self._servers = servers
        self._events = events
        self._count = count
        self._per_s = count / seconds
        self.acknowledged: dict[int, RecordMetadata] = {}
        self.resent = 0

    async def run(self) -> None:
        """Publish everything; what an outage held up is caught up with."""
        producer = RecordProducer(
            KafkaConnection.plaintext(self._servers), "chaos", request_timeout_s=5
        )
        await self._start(producer)
        try:
            began = asyncio.get_running_loop().time()
            sent = 0
            while sent < self._count:
                due = (asyncio.get_running_loop().time() - began) * self._per_s + 1
                until = min(self._count, int(due), sent + _MOST_AT_ONCE)
                await self._send(producer, range(sent, until))
                sent = until
                await asyncio.sleep(_TICK_S)
        finally:
            await producer.stop()

    async def _start(self, producer: RecordProducer) -> None:
        while True:
            try:
                return await producer.start()
            except BrokerError:
                await asyncio.sleep(_PAUSE_S)

    async def _send(self, producer: RecordProducer, numbers: Sequence[int]) -> None:
        waiting = {number: self._events.make(number) for number in numbers}
        while waiting:
            places = await self._try(producer, list(waiting.values()))
            acknowledged = {
                number: place
                for number, place in zip(waiting, places, strict=True)
                if place is not None
            }
            self.acknowledged |= acknowledged
            for number in acknowledged:
                del waiting[number]
            if waiting:
                self.resent += len(waiting)
                await asyncio.sleep(_PAUSE_S)

    async def _try(
        self, producer: RecordProducer, records: list[OutRecord]
    ) -> Sequence[RecordMetadata | None]:
        nowhere = [None] * len(records)
        try:
            return await producer.send_many(records)
        except NotAcknowledgedError as error:
            return error.results or nowhere
        except PublishError:
            return nowhere
