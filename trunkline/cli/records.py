"""Records on a terminal and as JSON lines; what others wrote is made harmless first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from trunkline.cli.escaping import harmless, shown_bytes
from trunkline.dead_letters.transfer import json_bytes

#: So much of a value is shown to people; JSON has all of it.
_SHOWN_CHARACTERS = 10_000


def print_record(record: Any, *, headers: bool = True) -> None:
    """Print a record: time, place, key, value, and a line for each header."""
    place = click.style(f"{record.topic}[{record.partition}]@{record.offset}", fg="cyan")
    time = click.style(_time(record.timestamp), dim=True)
    key = click.style("-" if record.key is None else _cut(record.key), bold=True)
    value = click.style("null", dim=True) if record.value is None else _cut(record.value)
    click.echo(f"{time}  {place}  {key}  {value}")
    if headers:
        for name, header in record.headers:
            shown = "null" if header is None else _cut(header)
            click.echo("    " + click.style(f"{harmless(name)}: {shown}", dim=True))


def record_to_line(record: Any, *, headers: bool = True) -> str:
    """Return a record as one line of JSON in ASCII.

    Bytes are text where they are UTF-8, else ``{"base64": …}``, as in ``dlq export``.
    """
    body: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": json_bytes(record.key),
        "value": json_bytes(record.value),
    }
    if headers:
        body["headers"] = [[name, json_bytes(value)] for name, value in record.headers]
    return json.dumps(body)


def _cut(raw: bytes) -> str:
    text = shown_bytes(raw)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}… ({len(raw):,} bytes; --json prints all)"


def _time(at_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03}Z"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"  # publishers may set any timestamp
