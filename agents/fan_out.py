"""``user.notification.sent`` → ``notification.fanout``: one pod relays, every pod receives.

The seed's third scenario, second solution: a group alone gives an event to one pod, so the pod that
gets it republishes it, and all pods read the copy without a group. Keyed by ``userId``, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from models import NotificationSent
from trunkline.delivery.handler import Context, Handler, Headers
from trunkline.delivery.origin import with_origin
from trunkline.delivery.producer import NotAcknowledgedError, OutRecord

logger = logging.getLogger(__name__)

_PAUSE_S = 0.5
#: A record carries one trace (W3C Trace Context), whatever a client sent.
_TRACE = ("traceparent", "tracestate")


class Publisher(Protocol):
    """What of :class:`trunkline.delivery.producer.RecordProducer` a relay needs."""

    async def send_many(self, records: Sequence[OutRecord], /) -> Sequence[Any]:
        """Publish; return when all are acknowledged."""


def relay_notifications(producer: Publisher, topic: str) -> Handler:
    """Return the relay's handler (batch).

    Key and value are republished byte for byte, headers and timestamp are kept, and the header
    ``trunkline-origin`` is added. An event that is delivered again is relayed again: receivers drop
    the copy by that header.

    While Kafka is away the handler waits, uncommitted, and sends what is not acknowledged again: to
    hand the events over as failed would need the same Kafka. It raises
    :class:`trunkline.errors.PublishError` when an event can never be sent: it is too large with its
    new header, or the topic does not exist.

    Args:
        producer: Publishes with acks=all.
        topic: Real name of the topic that every pod reads.

    """

    async def relay(events: list[NotificationSent], contexts: list[Context]) -> None:
        await _publish(producer, [_copy(context, topic) for context in contexts])

    return relay


def _copy(context: Context, topic: str) -> OutRecord:
    return OutRecord(
        topic,
        context.value,
        key=context.key,
        headers=_one_trace(with_origin(context)),
        timestamp_ms=context.timestamp_ms if context.timestamp_ms >= 0 else None,
    )


def _one_trace(headers: Headers) -> Headers:
    """Keep the first of each trace header: a second one makes the trace unreadable."""
    seen = set()
    kept = []
    for header in headers:
        name = header[0].lower()
        if name in _TRACE and name in seen:
            continue
        seen.add(name)
        kept.append(header)
    return kept


async def _publish(producer: Publisher, records: Sequence[OutRecord]) -> None:
    waiting = False
    while True:
        try:
            await producer.send_many(records)
        except NotAcknowledgedError as error:
            if not waiting:
                logger.warning("The relay waits, and sends again until it succeeds: %s", error)
            waiting = True
            records = _unacknowledged(records, error)
            await asyncio.sleep(_PAUSE_S)
        else:
            return


def _unacknowledged(records: Sequence[OutRecord], error: NotAcknowledgedError) -> list[OutRecord]:
    if not error.results:
        return list(records)
    return [record for record, place in zip(records, error.results, strict=True) if place is None]
