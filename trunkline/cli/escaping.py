"""Show what others wrote on a terminal, so that it can only be read.

A key, a payload or an exception's message may hold escape sequences, which would move the cursor,
change colours, or type into the shell of whoever looks at it.
"""

from __future__ import annotations

import base64
import json
from typing import Any

_HEX_BYTES = 256


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with everything that is not plain to see as an escape such as ``\\x1b``.

    Args:
        text: From anywhere.
        lines: Whether line feeds and tabs stay.

    """
    kept = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in kept else _escape(c) for c in text)


def shortened(text: str, length: int) -> str:
    """Return a text in one line of at most so many characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def shown_bytes(raw: bytes, *, lines: bool = False) -> str:
    """Return bytes as text where they are UTF-8, else in hexadecimal, or base64 when long."""
    try:
        return printable(raw.decode(), lines=lines)
    except UnicodeDecodeError:
        if len(raw) <= _HEX_BYTES:
            return f"0x{raw.hex()}"
        return f"base64:{base64.b64encode(raw).decode()}"


def bytes_to_json(raw: bytes | None) -> dict[str, str] | None:
    """Return bytes as JSON can carry them: ``{"text": …}`` where they are UTF-8, else base64."""
    if raw is None:
        return None
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def to_json(value: Any) -> str:
    """Return indented JSON of printable ASCII only."""
    # The one control character that json leaves as it is; it can only be inside a string.
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()
