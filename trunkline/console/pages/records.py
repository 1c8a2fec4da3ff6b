"""A record's key, value and headers as pages show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from trunkline.cli.escaping import harmless, shown_bytes
from trunkline.console.context import ConsoleContext
from trunkline.console.refusals import Refusal
from trunkline.web.safety.masking import MASK

#: How a mask may be written in JSON.
_ESCAPED = json.dumps(MASK).strip('"').encode()
_SHOWN = 64 * 1024
_HEX_BYTES = 4 * 1024
_HEADER = 2_000


class PayloadView(msgspec.Struct):
    """What is shown of bytes.

    Attributes:
        kind: ``json``, ``text``, ``binary`` or ``null``.
        text: Harmless.
        size_bytes: Of all of it.
        shown_bytes: Of what is shown.
        truncated: Whether that is less.
        masked: Whether fields were masked.
        notes: What else is to be known.

    """

    kind: str
    text: str
    size_bytes: int
    shown_bytes: int
    truncated: bool
    masked: bool
    notes: Sequence[str] = ()


class RecordView(msgspec.Struct):
    """A record."""

    key: PayloadView
    value: PayloadView
    headers: list[tuple[str, str | None]]
    left_out_bytes: int = 0


def record_view(
    context: ConsoleContext,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    left_out_bytes: int = 0,
) -> RecordView:
    """Return a record as it may be shown."""
    masked = context.masking.payload(value)
    view = payload_view(masked)
    view.masked = masked is not value
    return RecordView(
        payload_view(key),
        view,
        [
            (harmless(name), None if raw is None else shown_bytes(raw[:_HEADER]))
            for name, raw in context.masking.headers(headers)
        ],
        left_out_bytes,
    )


def editable_text(context: ConsoleContext, value: bytes | None) -> str | None:
    """Return a payload as it is edited: indented JSON, masked; None when it is no JSON object."""
    try:
        decoded = json.loads(context.masking.payload(value) or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    return json.dumps(decoded, indent=2, ensure_ascii=False)


def why_not_editable(value: bytes | None, left_out_bytes: int = 0) -> str:
    """Return why a payload has no :func:`editable_text`."""
    view = payload_view(value)
    if left_out_bytes:
        return "its payload was too large to be carried here"
    if view.kind in ("null", "binary"):
        return "its payload is null" if view.kind == "null" else "its payload is no text"
    return "its payload is no JSON object" if view.kind == "json" else "its payload is no JSON"


def unmasked(context: ConsoleContext, original: bytes | None, edited: bytes) -> bytes:
    """Return an edited payload with the masked fields as they were.

    Raises:
        Refusal: A mask stands where nothing was masked, so nobody knows what it stands for.

    """
    if not context.masking.is_on or MASK.encode() not in edited.replace(_ESCAPED, MASK.encode()):
        return edited
    try:
        before, after = json.loads(original or b"null"), json.loads(edited)
    except (ValueError, RecursionError):
        return edited  # its check says what is wrong with it
    return json.dumps(_restored(after, before), ensure_ascii=False).encode()


def _restored(after: Any, before: Any) -> Any:
    if isinstance(after, dict):
        known = before if isinstance(before, dict) else {}
        return {name: _restored(value, known.get(name, MASK)) for name, value in after.items()}
    if isinstance(after, list):
        # With an item more or less nobody knows whose masks are whose: none may be restored.
        known_items = before if isinstance(before, list) and len(before) == len(after) else []
        padded = known_items or [MASK] * len(after)
        return [_restored(item, old) for item, old in zip(after, padded, strict=True)]
    if after != MASK:
        return after
    if before == MASK:
        raise Refusal(
            400,
            f"{MASK} stands where nothing was masked, or in a list that is longer or shorter now.",
            "Write the value itself.",
            "$.value",
        )
    return before


def payload_view(raw: bytes | None) -> PayloadView:
    """Return bytes as they may be shown: JSON indented, text as it is, else hexadecimal."""
    if raw is None:
        return PayloadView("null", "", 0, 0, truncated=False, masked=False)
    shown = raw[:_SHOWN]
    cut = len(shown) < len(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        part = raw[:_HEX_BYTES]
        return PayloadView(
            "binary",
            "\n".join(part[i : i + 32].hex(" ", 4) for i in range(0, len(part), 32)),
            len(raw),
            len(part),
            truncated=len(part) < len(raw),
            masked=False,
        )
    try:
        decoded = None if cut else json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, dict | list):
        pretty = harmless(json.dumps(decoded, indent=2, ensure_ascii=False), lines=True)
        return PayloadView("json", pretty, len(raw), len(raw), truncated=False, masked=False)
    beginning = harmless(shown.decode(errors="ignore"), lines=True)
    return PayloadView("text", beginning, len(raw), len(shown), truncated=cut, masked=False)


def topic_href(topic: str, partition: int, offset: int) -> str:
    """Return the URL of a place in a topic."""
    place = urlencode({"partition": partition, "offset": offset})
    return f"/console/topics/{quote(topic, safe='')}?{place}"
