"""Which event a relayed copy stands for, so that a receiver knows a second copy of it.

A relay that is killed between the broker's acknowledgement and its commit relays its last events
again. Each copy names its origin in a header; two equal events have two origins.
"""

from __future__ import annotations

from trunkline.delivery.handler import Context, Headers

#: Header of a relayed record: ``topic/partition/offset/timestamp_ms`` of the original one.
ORIGIN = "trunkline-origin"


def origin_of(topic: str, partition: int, offset: int, timestamp_ms: int) -> bytes:
    """Return the identity of a record, as it stands in the header.

    The timestamp belongs to it: a topic that was deleted and made anew counts from 0 again.
    """
    return f"{topic}/{partition}/{offset}/{timestamp_ms}".encode()


def with_origin(context: Context) -> Headers:
    """Return the event's headers, with its origin as the last one.

    An origin that a publisher sent along is dropped: it would pass for a copy of another event.
    """
    kept = [header for header in context.headers if header[0] != ORIGIN]
    place = origin_of(context.topic, context.partition, context.offset, context.timestamp_ms)
    return [*kept, (ORIGIN, place)]


class RecentOrigins:
    """The origins that were seen last, at most ``limit`` of them (about 200 bytes each)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[bytes, None] = {}

    def is_new(self, origin: bytes) -> bool:
        """Remember an origin; False when it was there already."""
        if origin in self._seen:
            return False
        self._seen[origin] = None
        if len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]
        return True
