"""Dead letters as JSON lines, to be looked at, edited, and brought back.

Bytes are text where they are UTF-8, else ``{"base64": "…"}``: every byte comes back. Everything
that is not ASCII is escaped, so that a line does nothing to a terminal.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec

from models.failures import EventId
from trunkline.dead_letters.dialects import Source
from trunkline.dead_letters.reading import DeadLetter, parse_id
from trunkline.dead_letters.scan import Found
from trunkline.errors import ConfigurationError


class Base64(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes that are no UTF-8."""

    base64: bytes


Text = str | Base64 | None


class Origin(msgspec.Struct, frozen=True):
    """Which event it was."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One exported dead letter; see :class:`~.reading.DeadLetter` for the fields."""

    id: str | None = None
    timestamp_ms: int = 0
    key: Text = None
    value: Text = None
    headers: tuple[tuple[str, Text], ...] = ()
    source: Source = "unknown"
    origin: Origin | None = None
    group: str | None = None
    exception: str = ""
    message: str = ""
    stacktrace: str = ""
    kind: str = ""
    attempts: int | None = None
    first_failed_at_ms: int | None = None
    redrives: int = 0
    left_out_bytes: int = 0
    trace_id: str | None = None
    details: tuple[tuple[str, str], ...] = ()
    masked: bool = False


_decode_line: Callable[[bytes], Line] = msgspec.json.Decoder(Line).decode


def json_bytes(value: bytes | None) -> str | dict[str, str] | None:
    """Return bytes as JSON can hold them."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def letter_to_dict(found: Found) -> dict[str, Any]:
    """Return all that is known of a dead letter, for JSON."""
    letter, fingerprint, action = found
    return {
        "id": letter.id,
        "fingerprint": fingerprint.digest,
        "action": msgspec.to_builtins(action),
        "timestamp_ms": letter.timestamp_ms,
        "key": json_bytes(letter.key),
        "value": json_bytes(letter.value),
        "headers": [[name, json_bytes(value)] for name, value in letter.headers],
        "source": letter.source,
        "origin": letter.origin._asdict() if letter.origin else None,
        "group": letter.group,
        "exception": letter.exception,
        "place": fingerprint.place,
        "message": letter.message,
        "stacktrace": letter.stacktrace,
        "kind": letter.kind,
        "attempts": letter.attempts,
        "first_failed_at_ms": letter.first_failed_at_ms,
        "redrives": letter.redrives,
        "left_out_bytes": letter.left_out_bytes,
        "trace_id": letter.trace_id,
        "details": [list(detail) for detail in letter.details],
    }


def export_line(found: Found, *, masked: bool = False) -> str:
    """Return a dead letter as a line, without its end; a masked one is not taken back."""
    line = letter_to_dict(found) | ({"masked": True} if masked else {})
    # json leaves one control character as it is; it can only stand inside a string.
    return json.dumps(line).replace("\x7f", "\\u007f")


def import_line(line: bytes, number: int) -> tuple[DeadLetter, str]:
    """Read a line that was exported, and perhaps edited since.

    Returns:
        The dead letter, and the key of the note on what is done with it: its id, or a digest of
        the line when the line has no id.

    Raises:
        ConfigurationError: The line is wrong.

    """
    try:
        read = _decode_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"Line {number} is no exported dead letter: {error}. Nothing was done."
        ) from None
    if read.masked:
        raise ConfigurationError(
            f"Line {number} has masks (TRUNKLINE_MASK_FIELDS) where its values were: its group "
            "would handle those. Export it with 'trunkline dlq export'. Nothing was done."
        )
    place = parse_id(read.id) if read.id else ("", 0, 0)
    if place is None:
        raise ConfigurationError(
            f"Line {number}: {read.id!r} is no dead letter's id. Nothing was done."
        )
    letter = _letter(read, *place)
    return letter, letter.id if read.id else f"line:{hashlib.sha256(line.strip()).hexdigest()}"


def _letter(line: Line, topic: str, partition: int, offset: int) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp_ms=line.timestamp_ms,
        key=_bytes(line.key),
        value=_bytes(line.value),
        headers=tuple((name, _bytes(value)) for name, value in line.headers),
        source=line.source,
        origin=None if line.origin is None else EventId(*msgspec.structs.astuple(line.origin)),
        group=line.group,
        exception=line.exception,
        message=line.message,
        stacktrace=line.stacktrace,
        kind=line.kind,
        attempts=line.attempts,
        first_failed_at_ms=line.first_failed_at_ms,
        redrives=line.redrives,
        left_out_bytes=line.left_out_bytes,
        trace_id=line.trace_id,
        details=line.details,
    )


def _bytes(value: Text) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else value.base64
