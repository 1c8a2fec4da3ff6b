"""The headers by which several writers say why a record is a dead letter.

``trunkline``
    ``trunkline/delivery/failure.py``. Once per name; of repeated ones the last counts.
``streams``
    Kafka Streams, KIP-1034. UTF-8 text; ``exception`` holds Java's ``exception.toString()``, which
    is the class, a colon and the message. The record keeps the event's timestamp. Last counts.
``spring``
    Spring Kafka's ``DeadLetterPublishingRecoverer``. Partition, offset and timestamp are
    big-endian numbers of 4, 8 and 8 bytes. It appends ``original-*`` on every hop, so the first
    one says where the event was published; of the exceptions the last is the latest. The class is
    that of the cause: the exception itself is Spring's wrapper around every listener's.
``connect``
    Kafka Connect's ``DeadLetterQueueReporter``. UTF-8 text; the record keeps the event's
    timestamp. Last counts. A sink connector's group is ``connect-<its name>``.
``share-group``
    KIP-1191, as Kafka 4.4's ``ShareGroupDLQStateManager`` writes them: ``__dlq.errors.topic``,
    ``.partition``, ``.offset``, ``.group``, ``.delivery.count``, ``.message``, in UTF-8 text.
    There is no exception, the timestamp is that of the dead letter, the event's own headers are
    not copied, and key and value only when the group is configured so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.failures import EventId
from trunkline.dead_letters.header_values import HeaderValues
from trunkline.delivery import failure

Source = Literal["trunkline", "streams", "spring", "connect", "share-group", "unknown"]

#: Timestamp of an event whose dead letter does not tell it.
UNKNOWN_TIMESTAMP_MS = -1

_STREAMS = "__streams.errors."
_TRUNKLINE = "trunkline."
_SPRING = "kafka_dlt-"
_CONNECT = "__connect.errors."
_SHARE = "__dlq.errors."
_JAVA_CLASS = re.compile(r"[\w$]+(?:\.[\w$]+)+")


@dataclass(frozen=True, slots=True)
class Story:
    """What headers tell of a dead letter; see :class:`~.reading.DeadLetter` for the fields."""

    origin: EventId | None = None
    group: str | None = None
    exception: str = ""
    message: str = ""
    stacktrace: str = ""
    kind: str = ""
    attempts: int | None = None
    first_failed_at_ms: int | None = None
    redrives: int = 0
    left_out_bytes: int = 0
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """One writer's headers.

    Attributes:
        prefixes: Of the names of its headers; the others are the event's own.
        tell: Reads them, given the dead letter's timestamp.

    """

    source: Source
    prefixes: tuple[str, ...]
    tell: Callable[[HeaderValues, int], Story]


def dialect_of(names: list[str]) -> Dialect | None:
    """Return who wrote a dead letter, None when nobody known did.

    Ours is certain, because events lose such headers before they fail here. Else it is the writer
    whose header comes last: who fails a dead letter once more appends.
    """
    if failure.GROUP in names:
        return TRUNKLINE
    for name in reversed(names):
        for dialect in FOREIGN:
            if name.startswith(dialect.prefixes):
                return dialect
    return None


def _event(
    topic: str | None, partition: int | None, offset: int | None, timestamp_ms: int | None
) -> EventId | None:
    if not topic or partition is None or offset is None:
        return None
    known = UNKNOWN_TIMESTAMP_MS if timestamp_ms is None else timestamp_ms
    return EventId(topic, partition, offset, known)


def _trunkline(values: HeaderValues, timestamp_ms: int) -> Story:
    origin_ms = values.number(failure.TIMESTAMP_MS)
    return Story(
        origin=_event(
            values.text(failure.TOPIC),
            values.number(failure.PARTITION),
            values.number(failure.OFFSET),
            timestamp_ms if origin_ms is None else origin_ms,
        ),
        group=values.text(failure.GROUP) or None,
        exception=values.text(failure.EXCEPTION) or "",
        message=values.text(failure.MESSAGE) or "",
        stacktrace=values.text(failure.STACKTRACE) or "",
        kind=values.text(failure.KIND) or "",
        attempts=values.number(failure.ATTEMPTS),
        first_failed_at_ms=values.number(failure.FIRST_FAILED_AT_MS),
        redrives=values.number(failure.REDRIVES) or 0,
        left_out_bytes=values.number(failure.LEFT_OUT_BYTES) or 0,
    )


def _streams(values: HeaderValues, timestamp_ms: int) -> Story:
    said = values.text(failure.EXCEPTION) or ""
    java_class, colon, _ = said.partition(": ")
    is_java = bool(colon) and _JAVA_CLASS.fullmatch(java_class) is not None
    return Story(
        origin=_event(
            values.text(failure.TOPIC),
            values.number(failure.PARTITION),
            values.number(failure.OFFSET),
            timestamp_ms,
        ),
        exception=java_class if is_java else said,
        message=values.text(failure.MESSAGE) or "",
        stacktrace=values.text(failure.STACKTRACE) or "",
    )


def _spring(values: HeaderValues, _timestamp_ms: int) -> Story:
    def either(name: str) -> str:
        return values.text(f"{_SPRING}{name}") or values.text(f"{_SPRING}key-{name}") or ""

    return Story(
        origin=_event(
            values.text(f"{_SPRING}original-topic", first=True),
            values.int32(f"{_SPRING}original-partition", first=True),
            values.int64(f"{_SPRING}original-offset", first=True),
            values.int64(f"{_SPRING}original-timestamp", first=True),
        ),
        group=values.text(f"{_SPRING}original-consumer-group") or None,
        exception=either("exception-cause-fqcn") or either("exception-fqcn"),
        message=either("exception-message"),
        stacktrace=either("exception-stacktrace"),
        details=_details(values, _SPRING, "exception-fqcn", "key-exception-fqcn"),
    )


def _connect(values: HeaderValues, timestamp_ms: int) -> Story:
    connector = values.text(f"{_CONNECT}connector.name")
    return Story(
        origin=_event(
            values.text(f"{_CONNECT}topic"),
            values.number(f"{_CONNECT}partition"),
            values.number(f"{_CONNECT}offset"),
            timestamp_ms,
        ),
        group=f"connect-{connector}" if connector else None,
        exception=values.text(f"{_CONNECT}exception.class.name") or "",
        message=values.text(f"{_CONNECT}exception.message") or "",
        stacktrace=values.text(f"{_CONNECT}exception.stacktrace") or "",
        details=_details(values, _CONNECT, "connector.name", "task.id", "stage", "class.name"),
    )


def _share_group(values: HeaderValues, _timestamp_ms: int) -> Story:
    return Story(
        origin=_event(
            values.text(f"{_SHARE}topic"),
            values.number(f"{_SHARE}partition"),
            values.number(f"{_SHARE}offset"),
            None,
        ),
        group=values.text(f"{_SHARE}group") or None,
        message=values.text(f"{_SHARE}message") or "",
        attempts=values.number(f"{_SHARE}delivery.count"),
    )


def _details(values: HeaderValues, prefix: str, *names: str) -> tuple[tuple[str, str], ...]:
    found = ((name, values.text(prefix + name)) for name in names)
    return tuple((name, text) for name, text in found if text)


TRUNKLINE = Dialect("trunkline", (_STREAMS, _TRUNKLINE), _trunkline)
FOREIGN = (
    Dialect("streams", (_STREAMS,), _streams),
    Dialect("spring", (_SPRING,), _spring),
    Dialect("connect", (_CONNECT,), _connect),
    Dialect("share-group", (_SHARE,), _share_group),
)
