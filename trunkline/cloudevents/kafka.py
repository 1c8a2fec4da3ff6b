"""The Kafka protocol binding: a record's headers, and where its data is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from trunkline.cloudevents.event import JSON, REQUIRED, CloudEvent
from trunkline.cloudevents.json_format import (
    ANY,
    STRUCTURED,
    Envelope,
    read_structured,
    write_structured,
)
from trunkline.errors import InvalidEventError

Headers = Sequence[tuple[str, bytes | None]]
Mode = Literal["binary", "structured"]

PREFIX = "ce_"
CONTENT_TYPE = "content-type"
_ANY = ANY.encode()
#: Any of these makes a record a CloudEvent in binary mode: then all of them must be there.
MARKS = frozenset(PREFIX + name for name in REQUIRED)


class Record(NamedTuple):
    """What goes to Kafka: the value, and the headers that make it a CloudEvent."""

    value: bytes
    headers: Headers


def mode_of(headers: Headers) -> Mode | None:
    """Return in which mode a record is a CloudEvent, None when it is none."""
    mode: Mode | None = None
    for name, value in headers:
        if name in MARKS:
            mode = "binary"
        elif name.lower() == CONTENT_TYPE and (value or b"").lower().startswith(_ANY):
            return "structured"
    return mode


def read(headers: Headers, value: bytes | None) -> Envelope | None:
    """Take a record apart; None when it is no CloudEvent.

    Raises:
        InvalidEventError: It is one, and something about it is wrong.

    """
    mode = mode_of(headers)
    if mode is None:
        return None
    if value is None:
        raise InvalidEventError("the value is null; a CloudEvent has data")
    if mode == "structured":
        _check_format(_content_type(headers) or "")
        return read_structured(value)
    attributes = {
        name.removeprefix(PREFIX): text.decode(errors="replace")
        for name, text in headers
        if text and name.startswith(PREFIX)  # clients write null or nothing for what is not set
    }
    content_type = _content_type(headers)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    return Envelope(CloudEvent.of(attributes), value)


def data_of(headers: Headers, value: bytes | None) -> bytes | None:
    """Return the event itself: a CloudEvent's data, else the value.

    Raises:
        InvalidEventError: It is a CloudEvent, and something about it is wrong.

    """
    envelope = read(headers, value)
    return value if envelope is None else envelope.data


def write(event: CloudEvent, data: bytes, mode: Mode) -> Record:
    """Return a CloudEvent, whose data is JSON, as a record."""
    if mode == "structured":
        content_type = f"{STRUCTURED}; charset=UTF-8"
        return Record(write_structured(event, data), ((CONTENT_TYPE, content_type.encode()),))
    attributes = event.attributes()
    content_type = attributes.pop("datacontenttype", JSON)
    names = [(PREFIX + name, text.encode()) for name, text in attributes.items()]
    return Record(data, (*names, (CONTENT_TYPE, content_type.encode())))


def _content_type(headers: Headers) -> str | None:
    for name, value in headers:
        if name.lower() == CONTENT_TYPE and value:
            return value.decode(errors="replace")
    return None


def _check_format(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind != STRUCTURED:
        raise InvalidEventError(
            f"is {kind[:60]!r}; on Kafka, CloudEvents are taken as {STRUCTURED}, one in a record, "
            "or in binary mode",
            CONTENT_TYPE,
        )
