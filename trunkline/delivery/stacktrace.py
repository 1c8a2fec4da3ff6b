"""Stack traces of failed attempts, as Python prints them, made quickly.

A handler that fails, fails in the same place ten thousand times. Python 3.11 parses the source line
of every frame anew to underline what raised, which was two thirds of the cost of a failed attempt
(``trunkline bench failures``); so the text of a stack is kept by its places in the code.
"""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType

_KEPT = 256
_MOST_CAUSES = 10
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

_texts: dict[tuple[tuple[CodeType, int], ...], str] = {}


def stacktrace_of(error: BaseException, limit_bytes: int) -> str:
    """Return the stack trace of an exception and of those that caused it, its last bytes.

    The end of a trace names the place and the error. Never raises.

    Args:
        error: The exception.
        limit_bytes: Most bytes of UTF-8.

    """
    try:
        text = _with_causes(error)
    except Exception:
        return ""
    if text.isascii() and len(text) <= limit_bytes:
        return text
    return text.encode(errors="replace")[-limit_bytes:].decode(errors="ignore")


def _with_causes(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "".join(traceback.format_exception(error))
    parts: list[str] = []
    seen: set[int] = set()
    link = ""
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _MOST_CAUSES:
        seen.add(id(current))
        parts += [link, _alone(current)]
        if current.__cause__ is not None:
            current, link = current.__cause__, _CAUSE
        elif not current.__suppress_context__:
            current, link = current.__context__, _CONTEXT
        else:
            current = None
    return "".join(reversed(parts))


def _alone(error: BaseException) -> str:
    told = "".join(traceback.format_exception_only(error))
    if error.__traceback__ is None:
        return told
    return f"Traceback (most recent call last):\n{_frames(error.__traceback__)}{told}"


def _frames(stack: TracebackType) -> str:
    places = []
    current: TracebackType | None = stack
    while current is not None:
        places.append((current.tb_frame.f_code, current.tb_lasti))
        current = current.tb_next
    key = tuple(places)
    text = _texts.get(key)
    if text is None:
        if len(_texts) >= _KEPT:
            _texts.clear()
        text = _texts[key] = "".join(traceback.format_tb(stack))
    return text
