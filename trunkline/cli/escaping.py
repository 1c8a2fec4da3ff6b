"""Show what others wrote on a terminal, so that it can only be read.

A key, a payload or an exception's message may hold escape sequences, which would move the cursor,
change colours, or type into the shell of whoever looks at it; and marks that turn the direction of
what is read.
"""

from __future__ import annotations

import base64
import json
from typing import Any

_HEX_BYTES = 256


def harmless(text: str, *, lines: bool = False) -> str:
    r"""Return text with everything that is not plain to see as an escape, such as ``\x1b``.

    Args:
        text: From anywhere.
        lines: Leave line feeds and tabs as they are.

    """
    kept = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in kept else _escaped(c) for c in text)


def short(text: str, width: int) -> str:
    """Return harmless text on one line, cut to a width in characters."""
    line = harmless(" ".join(text[: 8 * width].split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def shown_bytes(raw: bytes, *, lines: bool = False) -> str:
    """Return bytes as harmless text where they are UTF-8, else in hexadecimal; base64 when long."""
    try:
        return harmless(raw.decode(), lines=lines)
    except UnicodeDecodeError:
        if len(raw) <= _HEX_BYTES:
            return f"0x{raw.hex()}"
        return f"base64:{base64.b64encode(raw).decode()}"


def to_json(value: Any) -> str:
    """Return indented JSON of printable ASCII only."""
    return json.dumps(value, indent=2)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
