"""Headers of records, as JSON Schemas; on the wire each is UTF-8 text."""

from __future__ import annotations

from typing import Any

from trunkline.delivery import failure as names
from trunkline.delivery.origin import ORIGIN

_NUMBER = r"^-?[0-9]+$"


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _number(description: str) -> dict[str, Any]:
    return _text(description, pattern=_NUMBER)


_TRACE = {"traceparent": _text("W3C trace context; passed on through every hop.")}
_CLOUD_EVENT = {
    "ce_specversion": _text("CloudEvents, binary mode.", const="1.0"),
    "ce_id": _text("CloudEvents: id of the event."),
    "ce_source": _text("CloudEvents: who published it.", format="uri-reference"),
    "ce_type": _text("CloudEvents: what happened."),
    "ce_time": _text("CloudEvents: when it happened.", format="date-time"),
    "content-type": _text("With ce_ headers: the media type of the value."),
}
_PLACE = {
    names.TOPIC: _text("Topic that the event was published to."),
    names.PARTITION: _number("Its partition there."),
    names.OFFSET: _number("Its offset there."),
    names.TIMESTAMP_MS: _number("Its record's timestamp."),
    names.GROUP: _text("Consumer group that failed it."),
}
_ERROR = {
    names.EXCEPTION: _text("Qualified name of the exception's class (KIP-1034)."),
    names.MESSAGE: _text("What it said, cut."),
    names.STACKTRACE: _text("Where it was raised, cut."),
    names.KIND: _text("Class of the failure.", enum=["invalid", "permanent", "transient"]),
    names.ATTEMPTS: _number("How many attempts there were."),
    names.FIRST_FAILED_AT_MS: _number("When the first one failed (Unix time)."),
    names.REDRIVES: _number("How often the event was redriven from dead letters before."),
    names.LEFT_OUT_BYTES: _number("Size of a payload that was too large to be carried along."),
}


def _headers(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_PLACE_IS_THERE = (names.TOPIC, names.PARTITION, names.OFFSET)

EVENT = _headers(
    {**_TRACE, **_CLOUD_EVENT, ORIGIN: _text("Only of a relayed copy: which event it stands for.")}
)
FAILED = _headers({**_TRACE, **_ERROR, **_PLACE}, (names.EXCEPTION, *_PLACE_IS_THERE))
PARKED = _headers(
    {
        **_TRACE,
        **_PLACE,
        names.RECORD: _text("What the record is.", const=names.PARKED),
        names.HELD: _text("Its key waits for it at the source.", const="1"),
    },
    (names.RECORD, *_PLACE_IS_THERE),
)
REDRIVEN = _headers(
    {
        **_TRACE,
        **_PLACE,
        names.RECORD: _text("What the record is.", const=names.REDRIVEN),
        names.REDRIVES: _number("How often it was redriven, this time included."),
    },
    (names.RECORD, *_PLACE_IS_THERE),
)
COMMAND = _headers(
    {
        **{name: _PLACE[name] for name in (*_PLACE_IS_THERE, names.TIMESTAMP_MS)},
        names.RECORD: _text(
            "now: due at once; discard: dropped at its turn; ask: is something in front of it?",
            enum=[names.NOW, names.DISCARD, names.ASK],
        ),
    },
    (names.RECORD, *_PLACE_IS_THERE, names.TIMESTAMP_MS),
)
