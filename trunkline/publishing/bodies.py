"""Take a body apart into events: a JSON object, an array of them, or one a line (NDJSON)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from trunkline.publishing.errors import RejectedEventError

BodyFormat = Literal["json", "lines"]

_LINES = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl"}
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_array = msgspec.json.Decoder(list[msgspec.Raw])
_value = msgspec.json.Decoder(msgspec.Raw)


class RawEvent(NamedTuple):
    """An event as it came in.

    Attributes:
        json: Its JSON, byte for byte.
        position: Its place in a JSON array, from 0.
        line: Its line in NDJSON, from 1.

    """

    json: bytes
    position: int | None = None
    line: int | None = None


def body_format(content_type: str | None) -> BodyFormat | None:
    """Return what a Content-Type says, or None when it is none of ours.

    A body without a type, or with any, is taken for JSON. ``text/plain`` and forms are refused: a
    foreign web page may post those without asking.
    """
    kind, _, parameters = (content_type or "").lower().partition(";")
    kind = kind.strip()
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in {"", "utf-8", "utf8", "us-ascii"}:
        return None
    if kind in _LINES:
        return "lines"
    if kind in {"", "*/*", "application/json"} or (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        return "json"
    return None


def parse_body(body: bytes, form: BodyFormat = "json") -> list[RawEvent]:
    """Take a body apart; the events themselves are not looked at yet.

    JSON that turns out to be several lines with an object on each is read as NDJSON.

    Raises:
        RejectedEventError: It is empty, or no JSON.

    """
    body = body.removeprefix(_BOM).strip(_BLANK)
    if not body:
        raise RejectedEventError("the body is empty; send a JSON object, an array or NDJSON")
    if form == "lines":
        events = list(split_lines(body))
    elif body.startswith(b"["):
        events = _split_array(body)
    else:
        events = _one_or_lines(body)
    if not events:
        raise RejectedEventError("the list is empty; send at least one event")
    return events


def split_lines(text: bytes, first_line: int = 1) -> Iterator[RawEvent]:
    """Yield the events of NDJSON; blank lines are counted and left out."""
    for number, line in enumerate(text.split(b"\n"), first_line):
        stripped = line.strip(_BLANK)
        if stripped:
            yield RawEvent(stripped, line=number)


def _split_array(body: bytes) -> list[RawEvent]:
    try:
        return [RawEvent(bytes(raw), index) for index, raw in enumerate(_array.decode(body))]
    except (msgspec.DecodeError, RecursionError) as error:
        raise RejectedEventError(f"the body is no JSON array: {error}") from None


def _one_or_lines(body: bytes) -> list[RawEvent]:
    try:
        _value.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        if body.startswith(b"{") and _is_object(body.split(b"\n", 1)[0]):
            return list(split_lines(body))
        raise RejectedEventError(f"the body is no JSON: {error}") from None
    return [RawEvent(body)]


def _is_object(line: bytes) -> bool:
    try:
        _value.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return line.startswith(b"{")
