"""The JSON format: a CloudEvent as one JSON object, its data inside."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import msgspec

from trunkline.cloudevents.event import JSON, CloudEvent
from trunkline.errors import InvalidEventError

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
#: What media types of CloudEvents begin with, in whatever format.
ANY = "application/cloudevents"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_scalar = msgspec.json.Decoder(str | bool | int | None)


class Envelope(NamedTuple):
    """A CloudEvent that was taken apart: its data byte for byte."""

    event: CloudEvent
    data: bytes


def read_structured(text: bytes) -> Envelope:
    """Take a CloudEvent in JSON apart.

    Raises:
        InvalidEventError: It is no JSON object, has no data, or an attribute is wrong.

    """
    try:
        members = _members.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError(f"no CloudEvent in JSON: {error}") from None
    data, in_base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes = {name: _text(name, value) for name, value in members.items()}
    event = CloudEvent.of({name: text for name, text in attributes.items() if text is not None})
    return Envelope(event, _data(data, in_base64))


def write_structured(event: CloudEvent, data: bytes) -> bytes:
    """Return a CloudEvent with its data, which is JSON, as one JSON object."""
    attributes = {"datacontenttype": JSON, **event.attributes()}
    return msgspec.json.encode({**attributes, "data": msgspec.Raw(data)})


def _text(name: str, value: msgspec.Raw) -> str | None:
    try:
        scalar = _scalar.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidEventError("an attribute is a text, a number or a boolean", name) from None
    if isinstance(scalar, bool):
        return str(scalar).lower()
    return None if scalar is None else str(scalar)


def _data(data: msgspec.Raw | None, in_base64: msgspec.Raw | None) -> bytes:
    if data is not None and in_base64 is not None:
        raise InvalidEventError("there is 'data' as well: one of them", "data_base64")
    if data is not None:
        return bytes(data)
    if in_base64 is None:
        raise InvalidEventError("is missing", "data")
    try:
        return base64.b64decode(_text("data_base64", in_base64) or "", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidEventError("is no base64", "data_base64") from None
