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

#: Python shows more of these than class and text: a line of code, or a name that was meant.
_SPECIAL = (SyntaxError, NameError, AttributeError, ImportError)
#: Modules that Python leaves out.
_UNNAMED = ("builtins", "__main__")

#: The text of a stack by its places: which code (its ``id``), and where in it. The code is kept
#: with the text, so that no other one gets its id; code itself would be a key that is slow to hash.
_texts: dict[tuple[int, ...], tuple[str, list[CodeType]]] = {}


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
    if error.__cause__ is None and (error.__context__ is None or error.__suppress_context__):
        return _alone(error)
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
    told = _told(error)
    if error.__traceback__ is None:
        return told
    return f"Traceback (most recent call last):\n{_frames(error.__traceback__)}{told}"


def _told(error: BaseException) -> str:
    """Return the exception's own lines: its class, what it says, its notes.

    Python's own way takes several times as long, so it is left to those that it does more for.
    """
    text = "" if isinstance(error, _SPECIAL) or hasattr(error, "__notes__") else _text_of(error)
    cls = type(error)
    if not text or not isinstance(cls.__module__, str):
        return "".join(traceback.format_exception_only(error))
    if cls.__module__ in _UNNAMED:
        return f"{cls.__qualname__}: {text}\n"
    return f"{cls.__module__}.{cls.__qualname__}: {text}\n"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _frames(stack: TracebackType) -> str:
    places: list[int] = []
    codes: list[CodeType] = []
    current: TracebackType | None = stack
    while current is not None:
        code = current.tb_frame.f_code
        codes.append(code)
        places += (id(code), current.tb_lasti)
        current = current.tb_next
    key = tuple(places)
    found = _texts.get(key)
    if found is None:
        if len(_texts) >= _KEPT:
            _texts.clear()
        found = _texts[key] = "".join(traceback.format_tb(stack)), codes
    return found[0]
