"""Follow a small topic from its beginning to its growing end, wherever the broker goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError
from mode import Service

from trunkline.connection import KafkaConnection
from trunkline.delivery.producer_link import explain
from trunkline.delivery.tail import TopicTail
from trunkline.errors import BrokerError

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
_ASK_AGAIN_S = 0.05
#: More records than a compacted topic has.
_FROM_THE_BEGINNING = 1 << 60


class TopicFollower(Service):
    """Hand every record of a topic to a function, in the order of their offsets.

    A broker that is away costs time but no record. What the function raises is logged, and the
    record passed over: a stranger's record must not stop the reading.

    Args:
        connection: How to reach Kafka.
        topic: Real name.
        on_record: Called with each record as aiokafka gives it; must not block.
        client_id: Name for the broker's logs.

    """

    mundane_level = "debug"

    def __init__(
        self,
        connection: KafkaConnection,
        topic: str,
        on_record: Callable[[Any], None],
        *,
        client_id: str,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.topic = topic
        self._on_record = on_record
        self._tail = TopicTail(
            topic,
            connection,
            replay=_FROM_THE_BEGINNING,
            client_id=client_id,
        )
        self._reading: asyncio.Task[None] | None = None
        self._said = False

    @property
    def connected(self) -> bool:
        """Whether there is a client that reads."""
        return self._tail.connected

    @property
    def caught_up(self) -> bool:
        """Whether all that stood in the topic at the start has been read."""
        return self._tail.caught_up

    async def read_to_end(self) -> None:
        """Return when all that the topic has now was handed out; waits for the broker."""
        while True:
            while not self._tail.connected:
                await asyncio.sleep(_ASK_AGAIN_S)
            try:
                ends = await self._tail.ends()
            except (KafkaError, BrokerError, TimeoutError):
                await asyncio.sleep(_RETRY_S)
                continue
            while any(self._tail.reached(p) < end for p, end in ends.items()):
                await asyncio.sleep(_ASK_AGAIN_S)
            return

    async def on_start(self) -> None:
        """Begin to read; does not wait for the broker."""
        self._reading = asyncio.create_task(self._read_forever(), name=f"follow {self.topic}")

    async def on_stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._tail.close()

    async def _read_forever(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, BrokerError, TimeoutError, OSError) as error:
                if not self._said:
                    logger.warning("Reading %s waits for Kafka: %s", self.topic, explain(error))
                self._said = True
            except Exception:
                logger.exception("Reading %s failed; it is tried again", self.topic)
            await self._tail.close()
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        while not await self._tail.open():
            await asyncio.sleep(_RETRY_S)
        if self._said:
            logger.info("Reading %s again", self.topic)
            self._said = False
        while True:
            for record in await self._tail.poll():
                self._take(record)
                self._tail.positions[record.partition] = record.offset + 1
            await asyncio.sleep(0)

    def _take(self, record: Any) -> None:
        try:
            self._on_record(record)
        except Exception as error:  # whatever a stranger wrote
            logger.warning(
                "%s[%s]@%s is no record of ours and is passed over: %s",
                record.topic,
                record.partition,
                record.offset,
                error,
            )
