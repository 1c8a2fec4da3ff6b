"""How numbers, sizes and times are written: the same on all pages. Filters of the templates."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from trunkline.cli.escaping import harmless, short

NONE = "—"
_WORDS_WIDTH = 600
_MARKED = re.compile(r"(`{1,2})([^`]+)\1")
#: Cells of a table that a template made; what others wrote is escaped, and no tag.
_ROW = re.compile(r"<tr[ >].*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(?:td|th)(?=[ >])")
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_LARGE = ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k"))
#: Seconds of a unit, from the largest.
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return ``12,345``; a dash for None."""
    if value is None:
        return NONE
    if value % 1:
        return f"{value:,.1f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return f"{int(value):,}"


def compact(value: float | None) -> str:
    """Return ``12.3k`` for large numbers, for tiles."""
    if value is None:
        return NONE
    for size, unit in _LARGE:
        if abs(value) >= size:
            scaled = value / (1_000 if unit == "k" else size)
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return number(value)


def rate(value: float | None) -> str:
    """Return ``12.3/s``."""
    if value is None:
        return NONE
    return f"{compact(round(value, 1) if value < 100 else round(value))}/s"


def size(value: float | None) -> str:
    """Return ``1.5 MiB``."""
    if value is None:
        return NONE
    scaled = float(value)
    unit = _BYTES[0]
    for unit in _BYTES:
        if abs(scaled) < 1024 or unit == _BYTES[-1]:
            break
        scaled /= 1024
    return f"{scaled:.0f} {unit}" if unit == "B" or scaled >= 100 else f"{scaled:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Return the two largest units: ``3 min 20 s``."""
    if seconds is None:
        return NONE
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    left, parts = round(abs(seconds)), list[str]()
    for length, unit in _UNITS:
        if left >= length and len(parts) < 2:
            parts.append(f"{left // length} {unit}")
            left %= length
        elif parts:
            break
    return ("-" if seconds < 0 else "") + " ".join(parts)


def percent(share: float | None) -> str:
    """Return ``12 %`` for 0.12."""
    return NONE if share is None else f"{share:.0%}".replace("%", " %")


def moment(at_ms: float | None) -> str:
    """Return Unix time as ``2026-11-25 23:20:01Z``; a dash where there is no such time."""
    if at_ms is None or at_ms < 0:
        return NONE
    try:
        at = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{at_ms:.0f} ms"
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def age(at_ms: float | None, now: Callable[[], float] = time.time) -> Markup:
    """Return how long ago it was, which ticks in the browser; the time itself as its title."""
    if at_ms is None or at_ms < 0:
        return escape(NONE)
    text = f"{duration(max(0.0, now() - at_ms / 1000))} ago"
    return _ticking("age", at_ms, text)


def countdown(at_ms: float | None, now: Callable[[], float] = time.time) -> Markup:
    """Return how long it is until then, which ticks in the browser; ``now`` when it is over."""
    if at_ms is None:
        return escape(NONE)
    left = at_ms / 1000 - now()
    return _ticking("countdown", at_ms, f"in {duration(left)}" if left > 0 else "now")


def labelled(rows: Markup, heads: Sequence[str | tuple[str, str]]) -> Markup:
    """Return rows of a table whose cells know their column's head, for narrow screens."""
    labels = [escape(head if isinstance(head, str) else head[0]) for head in heads]

    def label(row: re.Match[str]) -> str:
        left = iter(labels)
        return _CELL.sub(lambda cell: f'{cell[0]} data-label="{next(left, "")}"', row[0])

    return Markup(_ROW.sub(label, str(rows)))  # noqa: S704  # HTML already, of a template


def visible(text: object) -> str:
    """Return text with everything that is not plain to see as an escape; for what others wrote.

    Jinja escapes HTML; this is for marks that turn the direction of text, control characters and
    the like.
    """
    return harmless(str(text), lines=True)


def words(what: Mapping[str, Any]) -> str:
    """Return what an order is about, as ``ids: a, b; rate: 50``, in one harmless line."""
    told = what.get("filter")
    flat = {**what, **told} if isinstance(told, dict) else what
    parts = [_word(name, value) for name, value in flat.items() if _is_said(name, value)]
    return short("; ".join(parts), _WORDS_WIDTH)


def _is_said(name: str, value: object) -> bool:
    return name != "filter" and value not in (None, "", [], {})


def _word(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return f"{name.removesuffix('_ms')}: {moment(value)}"
    if isinstance(value, list):
        return f"{name}: {', '.join(str(part) for part in value)}"
    return f"{name}: {value if isinstance(value, str) else json.dumps(value)}"


def marked(text: str) -> Markup:
    """Return text with what stands between (one or two) backticks as code; all of it escaped."""
    # Text, backticks, code, text, …
    parts = _MARKED.split(text)
    code = Markup("<code>{}</code>")
    texts = [
        part if i % 3 == 0 else code.format(part) for i, part in enumerate(parts) if i % 3 != 1
    ]
    return Markup("").join(texts)


_TICKING = {
    "age": Markup('<time class="tick" data-age="{}" datetime="{}" title="{}">{}</time>'),
    "countdown": Markup(
        '<time class="tick" data-countdown="{}" datetime="{}" title="{}">{}</time>'
    ),
}


def _ticking(kind: str, at_ms: float, text: str) -> Markup:
    iso = moment(at_ms).replace(" ", "T")
    return _TICKING[kind].format(int(at_ms), iso, moment(at_ms), text)


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "compact": compact,
    "rate": rate,
    "size": size,
    "duration": duration,
    "percent": percent,
    "moment": moment,
    "age": age,
    "countdown": countdown,
    "visible": visible,
    "words": words,
    "marked": marked,
    "labelled": labelled,
}
