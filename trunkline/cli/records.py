"""Records on a terminal and as JSON lines; what others wrote is made harmless first."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from trunkline.cli.escaping import harmless, shown_bytes
from trunkline.dead_letters.transfer import json_bytes
from trunkline.web.safety.masking import Masking

#: So much of a value is shown to people; JSON has all of it.
_SHOWN_CHARACTERS = 10_000


class Shown(NamedTuple):
    """How records are shown.

    Attributes:
        headers: Whether their headers are.
        masking: Which fields of payloads are hidden.

    """

    headers: bool = True
    masking: Masking = Masking(())


_AS_IT_IS = Shown()


def print_record(record: Any, how: Shown = _AS_IT_IS) -> None:
    """Print a record: time, place, key, value, and a line for each header."""
    payload = how.masking.payload(record.value)
    place = click.style(f"{record.topic}[{record.partition}]@{record.offset}", fg="cyan")
    time = click.style(_time(record.timestamp), dim=True)
    key = click.style("-" if record.key is None else _cut(record.key), bold=True)
    value = click.style("null", dim=True) if payload is None else _cut(payload)
    click.echo(f"{time}  {place}  {key}  {value}")
    if how.headers:
        for name, header in how.masking.headers(record.headers):
            shown = "null" if header is None else _cut(header)
            click.echo("    " + click.style(f"{harmless(name)}: {shown}", dim=True))


def record_to_line(record: Any, how: Shown = _AS_IT_IS) -> str:
    """Return a record as one line of JSON in ASCII.

    Bytes are text where they are UTF-8, else ``{"base64": …}``, as in ``dlq export``.
    """
    body: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": json_bytes(record.key),
        "value": json_bytes(how.masking.payload(record.value)),
    }
    if how.headers:
        shown = how.masking.headers(record.headers)
        body["headers"] = [[name, json_bytes(value)] for name, value in shown]
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
