"""Events that are there at once: written into an open transaction, and shown by its end."""

from __future__ import annotations

import uuid
from types import TracebackType

from aiokafka import AIOKafkaProducer

from trunkline.bench.ground import Ground, event_value

#: Readers have this long to start and to be given their partitions.
TIMEOUT_S = 120


class HeldEvents:
    """Events that ``read_committed`` readers see all at the same moment, when :meth:`show` ends.

    Each partition has the same number of them. So that many readers can be started, and have their
    partitions, before there is anything to read.
    """

    def __init__(self, ground: Ground, count: int, first: int = 0) -> None:
        self._ground = ground
        self._numbers = range(first, first + count)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=ground.servers,
            transactional_id=f"bench-{uuid.uuid4().hex[:8]}",
            transaction_timeout_ms=TIMEOUT_S * 1000,
            max_batch_size=256 * 1024,
        )

    async def __aenter__(self) -> HeldEvents:
        await self._producer.start()
        await self._producer.begin_transaction()
        for partition in range(self._ground.partitions):
            await self._write(partition)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def show(self) -> None:
        """Make them visible."""
        await self._producer.commit_transaction()

    async def _write(self, partition: int) -> None:
        batch = self._producer.create_batch()
        for number in self._numbers[partition :: self._ground.partitions]:
            key, value = b"%d" % number, event_value(number)
            if batch.append(key=key, value=value, timestamp=None) is None:
                await self._send(batch, partition)
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        await self._send(batch, partition)

    async def _send(self, batch: object, partition: int) -> None:
        sent = await self._producer.send_batch(batch, self._ground.topic, partition=partition)
        await sent
