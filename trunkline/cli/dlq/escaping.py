"""Text that others wrote, made harmless for a terminal.

A payload may hold escape sequences that move the cursor, retitle the window or answer as if they
were typed, and marks that turn the direction of what is read. None of that reaches the screen.
"""

from __future__ import annotations

import unicodedata

_LINES = "\n\t"


def harmless(text: str, *, lines: bool = False) -> str:
    r"""Return text with every control character as an escape, such as ``\x1b``.

    Args:
        text: Whatever somebody wrote.
        lines: Leave line ends and tabs as they are.

    """
    if text.isascii() and text.isprintable():
        return text
    kept = _LINES if lines else ""
    return "".join(c if c in kept or _is_visible(c) else _escaped(c) for c in text)


def readable(value: bytes | None, *, lines: bool = False) -> str:
    """Return bytes as harmless text; what is not UTF-8 as ``\\xff``, None as a dash."""
    if value is None:
        return "-"
    return harmless(value.decode(errors="backslashreplace"), lines=lines)


def short(text: str, width: int) -> str:
    """Return harmless text on one line, cut to a width."""
    line = harmless(text[: 4 * width])
    return line if len(line) <= width else line[: width - 1] + "…"


def _is_visible(character: str) -> bool:
    # Cc control, Cf format (direction marks, zero width), Cs surrogates, Co and Cn no characters.
    return character.isprintable() and unicodedata.category(character)[0] != "C"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
