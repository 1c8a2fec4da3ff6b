"""Hand failed events over to ``<group>.failures``, acknowledged by the broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from trunkline.delivery.failure import (
    OFFSET,
    PARTITION,
    TOPIC,
    Failure,
    failure_headers,
    without_payload,
)
from trunkline.delivery.handler import Context
from trunkline.delivery.producer import (
    NotAcknowledgedError,
    OutRecord,
    RecordProducer,
    RecordTooLargeError,
)
from trunkline.settings import Settings
from trunkline.topology import FAILURE_HEADERS_BYTES, MAX_MESSAGE_BYTES

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

    def hand_over(self, context: Context, failure: Failure, done: Callable[[], None]) -> None:
        """Forward a failed event; call ``done`` once the broker acknowledged it."""
        logger.warning(
            "%s: %s[%s]@%s goes to %s: %s: %s",
            failure.kind,
            context.topic,
            context.partition,
            context.offset,
            self._topic,
            failure.exception,
            failure.message,
        )
        out = OutRecord(
            self._topic,
            context.value,
            key=context.key,
            headers=failure_headers(context, failure, self._group),
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
        while records:
            try:
                await self._producer.send_many(records)
            except RecordTooLargeError as error:
                records[error.index] = self._left_out(records[error.index], error)
            except NotAcknowledgedError as error:
                records = _unacknowledged(records, error)
                pause_s = await self._pause(len(records), pause_s, str(error))
            except Exception as error:
                # Whatever it is, these events must not be taken for handed over.
                pause_s = await self._pause(len(records), pause_s, f"{error!r}")
            else:
                return

    async def _pause(self, waiting: int, pause_s: float, reason: str) -> float:
        logger.error(
            "Could not hand over %s failed event(s) to %s, trying again in %.1f s: %s",
            waiting,
            self._topic,
            pause_s,
            reason,
        )
        await asyncio.sleep(pause_s)
        return min(pause_s * 2, _LONGEST_PAUSE_S)

    def _left_out(self, record: OutRecord, error: RecordTooLargeError) -> OutRecord:
        headers = dict(record.headers)
        logger.error(
            "The event at %s[%s]@%s is too large to be handed over (%s bytes, %s are allowed): %s "
            "gets its origin and error only. Read it from its topic before its retention ends.",
            *((headers[name] or b"").decode() for name in (TOPIC, PARTITION, OFFSET)),
            error.size_bytes,
            error.limit_bytes,
            self._topic,
        )
        return without_payload(record)


def failures_producer(settings: Settings) -> RecordProducer:
    """Return a producer for a failures topic: it takes all that a source topic may hold."""
    return RecordProducer(
        settings.bootstrap_servers,
        f"{settings.pod_name}.failures",
        max_request_bytes=MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES,
        metadata_max_age_s=settings.metadata_max_age_s,
    )


def _unacknowledged(records: list[OutRecord], error: NotAcknowledgedError) -> list[OutRecord]:
    if not error.results:
        return records
    return [record for record, at in zip(records, error.results, strict=True) if at is None]
