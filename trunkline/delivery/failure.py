"""What is known of a failed event, and the headers that carry it (DESIGN section 4, KIP-1034)."""

from __future__ import annotations

import msgspec

from trunkline.delivery.handler import Context, Headers
from trunkline.delivery.producer_call import OutRecord
from trunkline.delivery.stacktrace import stacktrace_of
from trunkline.delivery.steady_time import now_ms
from trunkline.errors import InvalidEventError

#: Longest message and stack trace that go into headers, in bytes: the failed record itself must
#: still fit into one Kafka record beside them.
MAX_MESSAGE_BYTES = 2_000
MAX_STACKTRACE_BYTES = 16_000
MAX_KEPT_KEY_BYTES = 1_024

#: Kafka's own names for dead letters (KIP-1034).
EXCEPTION = "__streams.errors.exception"
MESSAGE = "__streams.errors.message"
STACKTRACE = "__streams.errors.stacktrace"
TOPIC = "__streams.errors.topic"
PARTITION = "__streams.errors.partition"
OFFSET = "__streams.errors.offset"
#: Ours, for what they lack.
GROUP = "trunkline.group"
KIND = "trunkline.failure"
ATTEMPTS = "trunkline.attempts"
TIMESTAMP_MS = "trunkline.timestamp-ms"
FIRST_FAILED_AT_MS = "trunkline.first-failed-at-ms"
#: Bytes of an event that was too large to be handed over: its value, and a key over 1 KiB, are left
#: out. It still stands at its origin.
LEFT_OUT_BYTES = "trunkline.left-out-bytes"
#: How often the event was redriven from dead letters; absent is never.
REDRIVES = "trunkline.redrives"
#: What a record in a failures topic is; absent is ``failed``. ``now`` and ``discard`` are commands,
#: which carry no event but name one by TOPIC, PARTITION, OFFSET and TIMESTAMP_MS, and go to the
#: failures partition in whose table it waits. ``ask`` comes from a source partition's worker, with
#: the key and the last event that waits for it there: is there still something in front of it?
RECORD = "trunkline.record"
FAILED, PARKED, REDRIVEN, NOW, DISCARD = "failed", "parked", "redriven", "now", "discard"
ASK = "ask"
#: Whether the event's key is held back at the source until the event is through (value ``1``).
HELD = "trunkline.held"
#: Version of a failure record's format; absent is 1. A reader passes over headers that it does not
#: know, so only a record that it must not take for something else needs a new one.
VERSION = "trunkline.version"

_OURS = ("__streams.errors.", "trunkline.")


class Failure(msgspec.Struct, frozen=True):
    """Why one attempt at an event failed.

    Attributes:
        kind: ``invalid`` (undecodable, or not of the topic's model: no retry helps), ``permanent``
            (the handler said so) or ``transient``.
        exception: Qualified name of the exception's class.
        message: What it said, cut.
        stacktrace: Where it was raised, its innermost part, cut.
        at_ms: When, in Unix milliseconds.

    """

    kind: str
    exception: str
    message: str
    stacktrace: str
    at_ms: int

    @classmethod
    def of(cls, error: BaseException, kind: str) -> Failure:
        """Describe an exception; never raises, whatever the exception's ``__str__`` does."""
        return cls(
            kind=kind,
            exception=f"{type(error).__module__}.{type(error).__qualname__}",
            message=_cut_end(_text_of(error), MAX_MESSAGE_BYTES),
            stacktrace=""
            if isinstance(error, InvalidEventError)
            else stacktrace_of(error, MAX_STACKTRACE_BYTES),
            at_ms=now_ms(),
        )


def failure_headers(
    context: Context,
    failure: Failure,
    group: str,
    attempts: int = 1,
    *,
    first_failed_at_ms: int | None = None,
    redrives: int = 0,
) -> Headers:
    """Return the headers of a failed record: the original ones, then origin and error.

    Args:
        context: The record as it was fetched.
        failure: Why it failed.
        group: The consuming group that failed it.
        attempts: How many attempts there were.
        first_failed_at_ms: When the first of them failed, if it was not this one.
        redrives: How often it was redriven before.

    """
    first = failure.at_ms if first_failed_at_ms is None else first_failed_at_ms
    headers = original_headers(context.headers)
    headers += (
        (EXCEPTION, _encoded(failure.exception)),
        (MESSAGE, _encoded(failure.message)),
        (STACKTRACE, _encoded(failure.stacktrace)),
        *place_headers(context, group),
        (KIND, _encoded(failure.kind)),
        (ATTEMPTS, b"%d" % attempts),
        (FIRST_FAILED_AT_MS, b"%d" % first),
    )
    if redrives:
        headers.append((REDRIVES, b"%d" % redrives))
    return headers


def parked_headers(context: Context, group: str) -> Headers:
    """Return the headers of an event that waits behind a failed one of its key, untried."""
    return [
        *original_headers(context.headers),
        *place_headers(context, group),
        (RECORD, PARKED.encode()),
        (HELD, b"1"),
    ]


def place_headers(context: Context, group: str) -> Headers:
    """Return the headers that say which event it is, and which group has it."""
    return [
        (TOPIC, _encoded(context.topic)),
        (PARTITION, b"%d" % context.partition),
        (OFFSET, b"%d" % context.offset),
        (GROUP, _encoded(group)),
        (TIMESTAMP_MS, b"%d" % context.timestamp_ms),
    ]


def original_headers(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Return the headers without those that a hop of ours has added."""
    return [header for header in headers if not header[0].startswith(_OURS)]


def _encoded(value: str) -> bytes:
    return value.encode(errors="replace")


def without_payload(record: OutRecord) -> OutRecord:
    """Return a failure record without the event, for one that is larger than any topic of ours.

    Compression on the way in can hide any size: what the source topic takes may be too large here.
    """
    key = record.key if len(record.key or b"") <= MAX_KEPT_KEY_BYTES else None
    left_out = len(record.value or b"") + len(record.key or b"") - len(key or b"")
    headers = [header for header in record.headers if header[0].startswith(_OURS)]
    headers.append((LEFT_OUT_BYTES, str(left_out).encode()))
    return record._replace(key=key, value=None, headers=headers)


def has_payload(record: OutRecord) -> bool:
    """Return whether a failure record still carries its event."""
    return all(name != LEFT_OUT_BYTES for name, _ in record.headers)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"(no message: {type(error).__qualname__}.__str__ failed)"


def _cut_end(text: str, limit_bytes: int) -> str:
    if 4 * len(text) <= limit_bytes:
        return text
    raw = text.encode(errors="replace")
    return text if len(raw) <= limit_bytes else raw[:limit_bytes].decode(errors="ignore") + "…"
