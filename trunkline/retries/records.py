"""Records of a failures topic, read; and dead letters, made of what waits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from models.failures import (
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    NewerFormatError,
    RetryEntry,
    RetryState,
)
from trunkline.delivery.failure import (
    ATTEMPTS,
    EXCEPTION,
    FAILED,
    FIRST_FAILED_AT_MS,
    HELD,
    KIND,
    LEFT_OUT_BYTES,
    MESSAGE,
    OFFSET,
    PARTITION,
    RECORD,
    REDRIVES,
    STACKTRACE,
    TIMESTAMP_MS,
    TOPIC,
    VERSION,
    Failure,
    failure_headers,
    original_headers,
)
from trunkline.delivery.handler import Context
from trunkline.delivery.producer_call import OutRecord

#: Kafka takes a record from the future only so far (``message.timestamp.after.max.ms``, 1 h).
_FUTURE_MS = 3_000_000


class FailureRecord(NamedTuple):
    """What a record of a failures topic says.

    Attributes:
        kind: ``failed``, ``parked``, ``redriven``, ``now``, ``discard`` or ``ask``.
        id: The event.
        held: Whether the event's key is held back at its source.
        attempts: How many attempts have failed.
        first_failed_at_ms: When the first did; 0 when none has.
        error: The last one's, None for one that was not tried.

    """

    kind: str
    id: EventId
    held: bool
    attempts: int
    first_failed_at_ms: int
    error: ErrorInfo | None
    redrives: int
    left_out_bytes: int


def read_failure(record: Any) -> FailureRecord:
    """Read the headers of a failures record.

    Raises:
        ValueError: A header is missing or is none of ours.
        NewerFormatError: A newer Trunkline wrote it.

    """
    headers = dict(record.headers)  # ours come last, and win
    version = _number(headers, VERSION, 1)
    if version > WIRE_VERSION:
        raise NewerFormatError(f"The record at offset {record.offset}", version)
    kind = _text(headers, RECORD, FAILED)
    event = EventId(
        _text(headers, TOPIC),
        _number(headers, PARTITION),
        _number(headers, OFFSET),
        _number(headers, TIMESTAMP_MS),
    )
    error = None
    if kind == FAILED:
        error = ErrorInfo(
            _text(headers, KIND),
            _text(headers, EXCEPTION),
            _text(headers, MESSAGE, ""),
            _text(headers, STACKTRACE, ""),
            _number(headers, FIRST_FAILED_AT_MS),
        )
    return FailureRecord(
        kind,
        event,
        headers.get(HELD) == b"1",
        _number(headers, ATTEMPTS, 0),
        _number(headers, FIRST_FAILED_AT_MS, 0) if error is None else error.at_ms,
        error,
        _number(headers, REDRIVES, 0),
        _number(headers, LEFT_OUT_BYTES, 0),
    )


def _text(headers: Mapping[str, bytes | None], name: str, default: str | None = None) -> str:
    value = headers.get(name)
    if value is not None:
        return value.decode(errors="replace")
    if default is None:
        raise ValueError(f"it has no header {name}")
    return default


def _number(headers: Mapping[str, bytes | None], name: str, default: int | None = None) -> int:
    value = headers.get(name)
    if value is None and default is not None:
        return default
    try:
        return int(value or b"")
    except ValueError:
        found = _text(headers, name)
        raise ValueError(f"its header {name} is {found!r}, which is no number") from None


def entry_of(record: Any, failure: FailureRecord, state: RetryState) -> RetryEntry:
    """Return the table's entry for an event that was handed over."""
    return RetryEntry(
        WIRE_VERSION,
        failure.id,
        record.key,
        record.value,
        tuple(original_headers(record.headers)),
        failure.held,
        record.offset,
        failure.redrives,
        failure.left_out_bytes,
        state,
    )


def context_of(entry: RetryEntry) -> Context:
    """Return what a handler may know of an event that is tried again."""
    first = entry.state.first_error
    return Context(
        *entry.id,
        entry.key,
        entry.value,
        entry.headers,
        attempt=entry.state.attempts + 1,
        first_failed_at_ms=None if first is None else first.at_ms,
        redrives=entry.redrives,
    )


def dead_letter(entry: RetryEntry, group: str, topic: str) -> OutRecord:
    """Return the dead letter of an event: key, value, headers and timestamp as they were published.

    Args:
        entry: The event, with the error that ended it.
        group: The group that could not handle it.
        topic: Real name of the topic that it goes to.

    """
    state = entry.state
    error = state.last_error or _NO_ERROR
    failure = Failure(error.kind, error.exception, error.message, error.stacktrace, error.at_ms)
    headers = list(
        failure_headers(
            context_of(entry),
            failure,
            group,
            state.attempts,
            first_failed_at_ms=(state.first_error or error).at_ms,
            redrives=entry.redrives,
        )
    )
    if entry.left_out_bytes:
        headers.append((LEFT_OUT_BYTES, str(entry.left_out_bytes).encode()))
    return OutRecord(
        topic,
        entry.value,
        key=entry.key,
        headers=headers,
        timestamp_ms=_acceptable(entry.id.timestamp_ms),
    )


def _acceptable(timestamp_ms: int) -> int | None:
    """Return a timestamp that Kafka takes, else None (now); the header has the original one."""
    if timestamp_ms < 0 or timestamp_ms > time.time() * 1000 + _FUTURE_MS:
        return None
    return timestamp_ms


#: For one that follows its key's head into the dead letters without ever having been tried.
_NO_ERROR = ErrorInfo("followed", "", "An earlier event of its key became a dead letter", "", 0)
