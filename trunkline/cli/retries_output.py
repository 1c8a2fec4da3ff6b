"""Waiting events as people and programs read them; what others wrote is made harmless first."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.failures import ErrorInfo
from trunkline.cli.escaping import harmless, short, shown_bytes
from trunkline.retries.inspection import Status, WaitingEvent

#: A pipe gets one line for each event, however long the names are.
_PIPE_WIDTH = 1000
_KEY_WIDTH, _ERROR_WIDTH = 32, 72

_STATUS_TEXTS: dict[Status, str] = {
    "due": "now",
    "parked": "parked",
    "exhausted": "to dead letters",
    "discarded": "discarded",
}
_SUMMARY: dict[Status, str] = {
    "due": "due now",
    "later": "later",
    "parked": "parked behind their key",
    "exhausted": "on the way to dead letters",
    "discarded": "discarded",
}


def print_events(events: Sequence[WaitingEvent], now_ms: int) -> None:
    """Print a table of waiting events."""
    table = Table(box=None, pad_edge=False)
    table.add_column("id", overflow="fold")
    table.add_column("group", overflow="fold")
    table.add_column("key", overflow="fold")
    table.add_column("attempts", justify="right", no_wrap=True)
    for heading in ("due in", "first failed"):
        table.add_column(heading, no_wrap=True)
    table.add_column("last error", overflow="fold")
    for event in events:
        table.add_row(*(Text(cell) for cell in _cells(event, now_ms)))
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(highlight=False, width=width).print(table)


def _cells(event: WaitingEvent, now_ms: int) -> tuple[str, ...]:
    state = event.entry.state
    first = state.first_error
    return (
        harmless(str(event.id)),
        harmless(event.group),
        shown_key(event),
        str(state.attempts),
        _due(event, now_ms),
        "-" if first is None else f"{span(now_ms - first.at_ms)} ago",
        error_line(event),
    )


def print_event(event: WaitingEvent, now_ms: int) -> None:
    """Print all that is known of a waiting event."""
    entry, state = event.entry, event.entry.state
    fields = [
        ("event", str(event.id)),
        ("published", moment(event.id.timestamp_ms)),
        ("group", f"{event.group}, failures partition {event.partition}, offset {entry.order}"),
        ("key", shown_key(event, width=None)),
        ("due in", _due(event, now_ms)),
        ("attempts", str(state.attempts)),
        ("redrives", str(entry.redrives)),
        ("holds its key", "yes, until it is through" if entry.held else "no"),
    ]
    for name, text in fields:
        click.echo(f"{name:<15}{harmless(text)}")
    print_error("First error", state.first_error)
    print_error("Last error", state.last_error)
    headers = [(name, "null" if v is None else shown_bytes(v)) for name, v in entry.headers]
    _print_block("Headers", "\n".join(f"{harmless(name)}: {value}" for name, value in headers))
    if entry.left_out_bytes:
        click.echo(f"\nPayload: {entry.left_out_bytes:,} bytes, too large to be handed over; it")
        click.echo(f"still stands at {harmless(str(event.id))}.")
    elif entry.value is None:
        click.echo("\nPayload: null, a tombstone")
    else:
        title = f"Payload ({len(entry.value):,} bytes)"
        _print_block(title, shown_bytes(entry.value, lines=True))


def print_error(title: str, error: ErrorInfo | None) -> None:
    """Print an attempt's error, and where it was raised."""
    if error is None:
        return
    text = f"{error.exception} ({error.kind}), {moment(error.at_ms)}\n{error.message}"
    if error.stacktrace:
        text += f"\n\n{error.stacktrace.rstrip()}"
    _print_block(title, harmless(text, lines=True))


def _print_block(title: str, text: str) -> None:
    if text:
        click.echo(f"\n{title}:")
        click.echo("\n".join(f"  {line}" if line else "" for line in text.split("\n")))


def summary(events: Iterable[WaitingEvent], now_ms: int) -> str:
    """Return how many events wait for what, as a sentence."""
    counts = Counter(event.status(now_ms) for event in events)
    if not counts:
        return "Nothing waits."
    parts = [f"{counts[status]:,} {text}" for status, text in _SUMMARY.items() if counts[status]]
    return f"{events_of(counts.total())}: {', '.join(parts)}."


def events_of(count: int) -> str:
    """Return a count with its noun."""
    return f"{count:,} event" if count == 1 else f"{count:,} events"


def shown_key(event: WaitingEvent, width: int | None = _KEY_WIDTH) -> str:
    """Return an event's key, harmless; ``-`` when it has none."""
    key = event.entry.key
    if key is None:
        return "-"
    return shown_bytes(key) if width is None else short(shown_bytes(key), width)


def error_line(event: WaitingEvent) -> str:
    """Return an event's last error in one short line; ``-`` when it was not tried yet."""
    error = event.entry.state.last_error
    if error is None:
        return "-"
    return short(f"{error.exception.rpartition('.')[2]}: {error.message}", _ERROR_WIDTH)


def _due(event: WaitingEvent, now_ms: int) -> str:
    status = event.status(now_ms)
    if status == "later":
        return span(event.entry.state.due_at_ms - now_ms)
    return _STATUS_TEXTS[status]


def span(milliseconds: int) -> str:
    """Return a length of time in its two largest units, such as ``4 m 10 s``."""
    seconds = max(0, -(-milliseconds // 1000))
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def moment(at_ms: int) -> str:
    """Return a time in UTC."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"  # publishers may set any timestamp
