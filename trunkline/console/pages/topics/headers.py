"""What the headers of records mean: those of KIP-1034, ours, and those of tracing."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.cli.escaping import harmless, shown_bytes
from trunkline.console.pages.topics.shapes import HeaderRow
from trunkline.delivery import failure

#: Longest value that is shown; stack traces are shorter.
_SHOWN_BYTES = 20_000

_MEANINGS = {
    failure.EXCEPTION: "class of the exception (KIP-1034)",
    failure.MESSAGE: "what the exception said (KIP-1034)",
    failure.STACKTRACE: "where it was raised (KIP-1034)",
    failure.TOPIC: "topic of the event that failed (KIP-1034)",
    failure.PARTITION: "its partition there (KIP-1034)",
    failure.OFFSET: "its offset there (KIP-1034)",
    failure.GROUP: "group that failed it",
    failure.KIND: "invalid: not of the model; permanent: the handler said so; transient: else",
    failure.ATTEMPTS: "how many attempts failed",
    failure.TIMESTAMP_MS: "when the event was published (Unix ms)",
    failure.FIRST_FAILED_AT_MS: "when the first attempt failed (Unix ms)",
    failure.LEFT_OUT_BYTES: "the payload was too large to be carried here; it stands at its origin",
    failure.REDRIVES: "how often it was redriven from the dead letters",
    failure.RECORD: "what a record of a failures topic is",
    failure.HELD: "1: later events of its key wait behind it",
    failure.VERSION: "version of the failure record's format",
    "traceparent": "trace context (W3C)",
    "tracestate": "trace context of tracing systems (W3C)",
    "content-type": "what the value is",
}
_PREFIXES = {
    "kafka_dlt-": "dead letter of Spring Kafka",
    "__connect.errors.": "dead letter of Kafka Connect",
    "__dlq.errors.": "dead letter of a share group (KIP-1191)",
    "ce_": "CloudEvents attribute",
}


def header_rows(headers: Sequence[tuple[str, bytes | None]]) -> list[HeaderRow]:
    """Return headers, harmless and explained."""
    return [HeaderRow(harmless(name), _text(value), _meaning(name)) for name, value in headers]


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    cut = value[:_SHOWN_BYTES]
    text = shown_bytes(cut, lines=True)
    return text if len(cut) == len(value) else f"{text}… ({len(value)} bytes)"


def _meaning(name: str) -> str:
    known = _MEANINGS.get(name.lower())
    if known is not None:
        return known
    return next((text for start, text in _PREFIXES.items() if name.startswith(start)), "")
