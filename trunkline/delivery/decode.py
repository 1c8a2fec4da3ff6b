"""Decode and validate a record in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from models import Event
from trunkline.errors import InvalidEventError

_AT_FIELD = re.compile(r"^(?P<reason>.*) - at `(?P<field>[^`]+)`$", re.DOTALL)


def decoder_for(model: type[Event] | None) -> Callable[[bytes], Any]:
    """Return the fast path: bytes to a validated event; raises msgspec's errors.

    Without a model nothing is decoded, and there is no event but the record itself.
    """
    if model is None:
        return lambda _: None
    return msgspec.json.Decoder(model).decode


def explain(error: Exception, value: bytes | None) -> InvalidEventError:
    """Turn what a decoder raised into an error that names the field and the reason."""
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
