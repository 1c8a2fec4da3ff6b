"""Hand failed events over to ``<group>.failures``, acknowledged by the broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from trunkline.delivery.failure import Failure, failure_headers
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import PublishError

logger = logging.getLogger(__name__)

_MAX_BATCH = 500
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Handover:
    """Forward failed records in batches, again and again until the broker has them.

    Key and value go byte for byte, the original headers first, then origin and error. Records of
    one key keep their order: there is one sender, and it does not go on before a batch is in.
    A hand-over that never succeeds keeps its event unfinished, so that nothing behind it is
    committed, and the bound on unfinished events pauses fetching.
    """

    def __init__(self, producer: RecordProducer, topic: str, group: str) -> None:
        self._producer = producer
        self._topic = topic
        self._group = group
        self._waiting: asyncio.Queue[tuple[OutRecord, Callable[[], None]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the sender."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """End the sender; what still waits was not acknowledged and will be delivered again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def hand_over(self, record: Any, failure: Failure, done: Callable[[], None]) -> None:
        """Forward a failed record; call ``done`` once the broker acknowledged it."""
        logger.warning(
            "%s: %s[%s]@%s goes to %s: %s: %s",
            failure.kind,
            record.topic,
            record.partition,
            record.offset,
            self._topic,
            failure.exception,
            failure.message,
        )
        out = OutRecord(
            self._topic,
            record.value,
            key=record.key,
            headers=failure_headers(record, failure, self._group),
        )
        self._waiting.put_nowait((out, done))

    async def _send_forever(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._send([record for record, _ in batch])
            for _, done in batch:
                done()

    async def _send(self, records: list[OutRecord]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._producer.send_many(records)
            except PublishError as error:
                logger.error(  # noqa: TRY400  # the broker is away: its traceback tells nothing
                    "Could not hand over %s failed event(s) to %s, trying again in %.1f s: %s",
                    len(records),
                    self._topic,
                    pause_s,
                    error,
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                return
