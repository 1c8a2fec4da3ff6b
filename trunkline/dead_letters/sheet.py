"""Dead letters as CSV, for a spreadsheet: to be looked at; ``transfer.py`` is what comes back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from trunkline.dead_letters.filters import failed_at_ms
from trunkline.dead_letters.scan import Found

COLUMNS = (
    "id",
    "status",
    "failed_at_ms",
    "topic",
    "group",
    "fingerprint",
    "exception",
    "place",
    "message",
    "kind",
    "attempts",
    "redrives",
    "origin",
    "key",
    "value",
)
#: A spreadsheet takes a cell that begins so for a formula, and may run it (OWASP: CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: A spreadsheet's own limit.
_MAX_CHARACTERS = 32_000


def sheet_head() -> str:
    """Return the line of column names."""
    return _line(COLUMNS)


def sheet_line(found: Found) -> str:
    """Return a dead letter as a line, its end included."""
    letter, fingerprint, action = found
    return _line(
        (
            letter.id,
            action.action if action else "open",
            failed_at_ms(letter),
            fingerprint.topic,
            fingerprint.group,
            fingerprint.digest,
            letter.exception,
            fingerprint.place,
            letter.message,
            letter.kind,
            letter.attempts,
            letter.redrives,
            letter.origin or "",
            _text(letter.key),
            _text(letter.value),
        )
    )


def _line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(
        ["" if cell is None else _harmless(str(cell)) for cell in cells]
    )
    return buffer.getvalue()


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: an apostrophe goes before it."""
    short = text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"
    clean = short.replace("\0", "\ufffd")
    return f"'{clean}" if clean.lstrip(" ").startswith(_FORMULA) else clean


def _text(value: bytes | None) -> str:
    if value is None:
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
