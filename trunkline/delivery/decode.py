"""Decode and validate a record in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from models import Event
from trunkline.cloudevents import kafka as cloudevents
from trunkline.errors import InvalidEventError

Headers = Sequence[tuple[str, bytes | None]]

_AT_FIELD = re.compile(r"^(?P<reason>.*) - at `(?P<field>[^`]+)`$", re.DOTALL)


def decoder_for(model: type[Event] | None) -> Callable[[bytes], Any]:
    """Return the fast path: bytes to a validated event; raises msgspec's errors.

    Without a model nothing is decoded, and there is no event but the record itself.
    """
    if model is None:
        return lambda _: None
    return msgspec.json.Decoder(model).decode


def headed_decoder_for(
    model: type[Event] | None,
) -> Callable[[Headers, bytes | None], Any]:
    """Return what decodes a record that has headers: a plain event, or a CloudEvent's data.

    It raises what :func:`decoder_for` does, and ``InvalidEventError`` for a wrong CloudEvent. The
    data of one in structured mode stands in the value's ``data``: so do the fields in its errors.
    """
    plain = decoder_for(model)
    if model is None:
        return lambda _headers, _value: None

    marks, length = cloudevents.MARKS, len(cloudevents.CONTENT_TYPE)

    def decode(headers: Headers, value: bytes | None) -> Any:
        # In line: many events have a trace header, which must cost next to nothing.
        for name, _ in headers:
            if name in marks or len(name) == length:
                return _decode_cloud(plain, headers, value)
        return plain(value)  # type: ignore[arg-type]  # None is invalid, as it says

    return decode


def _decode_cloud(plain: Callable[[bytes], Any], headers: Headers, value: bytes | None) -> Any:
    data = cloudevents.data_of(headers, value)
    try:
        return plain(data)  # type: ignore[arg-type]  # as above
    except Exception as error:
        found = explain(error, data)
        if cloudevents.mode_of(headers) == "structured":
            found = InvalidEventError(found.reason, "$.data" + found.field.removeprefix("$"))
        raise found from error


def explain(error: Exception, value: bytes | None) -> InvalidEventError:
    """Turn what a decoder raised into an error that names the field and the reason."""
    if isinstance(error, InvalidEventError):
        return error
    if value is None:
        return InvalidEventError("the value is null; this topic takes JSON objects")
    if not isinstance(error, msgspec.MsgspecError | UnicodeDecodeError):
        return InvalidEventError(f"{type(error).__name__}: {error}")
    match = _AT_FIELD.match(str(error))
    if match:
        return InvalidEventError(match["reason"], field=match["field"])
    return InvalidEventError(str(error))


def check_key(key: bytes | None) -> None:
    """Refuse a key that is not UTF-8: our keys are user ids, and every tool must show them.

    Raises:
        InvalidEventError: The key cannot be decoded.

    """
    if key is None or key.isascii():
        return
    try:
        key.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError(
            f"the key {key[:40]!r} is not UTF-8: {error.reason}", "key"
        ) from None
