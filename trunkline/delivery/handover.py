"""Hand failed events over to ``<group>.failures``, acknowledged by the broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from aiokafka.errors import (
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)

from trunkline.delivery.failure import (
    OFFSET,
    PARTITION,
    TOPIC,
    Failure,
    failure_headers,
    has_payload,
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

#: A failure record, and what to call once the broker has it.
Waiting = tuple[OutRecord, Callable[[], None]]

_MAX_BATCH = 500
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
#: The broker refuses these for what is in the record: the same record will be refused again.
_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, PolicyViolationError)


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
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()
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
            await self._send(batch)

    async def _send(self, batch: list[Waiting]) -> None:
        pause_s = _FIRST_PAUSE_S
        while batch:
            try:
                await self._producer.send_many([record for record, _ in batch])
            except RecordTooLargeError as error:
                record, done = batch[error.index]
                batch[error.index] = (self._left_out(record, str(error)), done)
            except NotAcknowledgedError as error:
                batch = _settle(batch, error)
                if isinstance(error.__cause__, _REFUSALS):
                    await self._send_singly(batch, str(error))
                    return
                pause_s = await self._pause(len(batch), pause_s, str(error))
            except Exception as error:
                # Whatever it is, these events must not be taken for handed over.
                pause_s = await self._pause(len(batch), pause_s, f"{error!r}")
            else:
                for _, done in batch:
                    done()
                return

    async def _send_singly(self, batch: list[Waiting], reason: str) -> None:
        """Find the record that the broker refuses for itself, so that it holds up no other."""
        if len(batch) > 1:
            for waiting in batch:
                await self._send([waiting])
            return
        for record, done in batch:
            if has_payload(record):
                await self._send([(self._left_out(record, reason), done)])
            else:
                logger.error(
                    "%s does not take the event at %s, not even without its payload: %s. It stays "
                    "unfinished, and nothing behind it is committed, until a restart finds the "
                    "topic's settings mended.",
                    self._topic,
                    _place(record),
                    reason,
                )

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

    def _left_out(self, record: OutRecord, reason: str) -> OutRecord:
        logger.error(
            "The event at %s cannot be handed over as it is: %s. %s gets its origin and error "
            "only: read the event from its topic before its retention ends.",
            _place(record),
            reason,
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


def _place(record: OutRecord) -> str:
    headers = dict(record.headers)
    topic, partition, offset = (
        (headers[name] or b"").decode() for name in (TOPIC, PARTITION, OFFSET)
    )
    return f"{topic}[{partition}]@{offset}"


def _settle(batch: list[Waiting], error: NotAcknowledgedError) -> list[Waiting]:
    """Finish what was acknowledged, and return the rest."""
    if not error.results:
        return batch
    for (_, done), place in zip(batch, error.results, strict=True):
        if place is not None:
            done()
    return [w for w, place in zip(batch, error.results, strict=True) if place is None]
