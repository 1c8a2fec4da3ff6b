"""Read a dead letter, whoever wrote it (DESIGN section 4, point 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from models.failures import EventId
from trunkline.dead_letters.dialects import Source, Story, dialect_of
from trunkline.dead_letters.header_values import HeaderValues, without_prefix

TRACEPARENT = "traceparent"

_ID = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)\[(?P<partition>\d{1,9})\]@(?P<offset>\d{1,19})")
#: https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record in a dead letter topic, and what its headers tell.

    Attributes:
        topic: Real name of the dead letter topic.
        partition: Its partition there.
        offset: Its offset there.
        timestamp_ms: Its timestamp. Trunkline, Streams and Connect keep the event's own.
        key: The event's key.
        value: The event's value.
        headers: The event's own headers, without those that say why it is here.
        source: Who wrote the dead letter.
        origin: The event; its timestamp is -1 when the dead letter does not tell it. None when
            the headers do not say where it came from.
        group: Consumer group that failed it.
        exception: Qualified class of the last error, ``""`` when it is not told.
        message: What that error said.
        stacktrace: Where it was raised.
        kind: ``invalid``, ``permanent``, ``transient``, or ``""`` when it is not told.
        attempts: How many attempts there were.
        first_failed_at_ms: When the first one failed (Unix time).
        redrives: How often the event was redriven before it ended here.
        left_out_bytes: Size of a payload that was too large to be carried here, else 0.
        trace_id: Of the last valid ``traceparent`` header, in hexadecimal.
        details: What else a foreign writer tells, by name.

    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    source: Source
    origin: EventId | None
    group: str | None
    exception: str
    message: str
    stacktrace: str
    kind: str
    attempts: int | None
    first_failed_at_ms: int | None
    redrives: int
    left_out_bytes: int
    trace_id: str | None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """Return where it stands, as the command line writes it: ``dlq.order.created[1]@17``."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


def read_dead_letter(record: Any) -> DeadLetter:
    """Return what a record of a dead letter topic tells; never raises for what is in it.

    Args:
        record: Has ``topic``, ``partition``, ``offset``, ``timestamp`` (ms), ``key``, ``value`` and
            ``headers``, as aiokafka's records do.

    """
    headers = tuple(record.headers or ())
    dialect = dialect_of([name for name, _ in headers])
    if dialect is None:
        story, own = Story(), headers
    else:
        story = dialect.tell(HeaderValues(headers), record.timestamp)
        own = without_prefix(headers, *dialect.prefixes)
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=own,
        source=dialect.source if dialect else "unknown",
        origin=story.origin,
        group=story.group,
        exception=story.exception,
        message=story.message,
        stacktrace=story.stacktrace,
        kind=story.kind,
        attempts=story.attempts,
        first_failed_at_ms=story.first_failed_at_ms,
        redrives=story.redrives,
        left_out_bytes=story.left_out_bytes,
        trace_id=_trace_id(own),
        details=story.details,
    )


def parse_id(text: str) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of a dead letter's id, None when it is not one."""
    match = _ID.fullmatch(text.strip())
    return match and (match["topic"], int(match["partition"]), int(match["offset"]))


def _trace_id(headers: tuple[tuple[str, bytes | None], ...]) -> str | None:
    for name, value in reversed(headers):
        match = _TRACEPARENT.fullmatch(value) if name == TRACEPARENT and value else None
        if match:
            return match[1].decode()
    return None
