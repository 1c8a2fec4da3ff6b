"""Dead letters on a screen: every text that others wrote is made harmless first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline.cli.escaping import harmless, short, shown_bytes
from trunkline.dead_letters.filters import failed_at_ms
from trunkline.dead_letters.groups import LetterGroup
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.scan import Found

_PIPE_WIDTH = 200
_MESSAGE_WIDTH = 80
_VALUE_CHARACTERS = 100_000


def print_groups(groups: Sequence[LetterGroup]) -> None:
    """Print fingerprints, the most frequent first."""
    if not groups:
        click.echo("No dead letters.")
        return
    headings = ("fingerprint", "count", "first failed", "last failed", "topic", "group", "error")
    rows = [
        (
            group.fingerprint.digest,
            f"{group.count:,}",
            moment(group.first_ms),
            moment(group.last_ms),
            group.fingerprint.topic,
            group.fingerprint.group or "-",
            f"{_class_name(group.fingerprint.exception)} in {group.fingerprint.place or '?'}: "
            + short(group.message, _MESSAGE_WIDTH),
        )
        for group in groups
    ]
    print_table(headings, rows, right=("count",))
    total = sum(group.count for group in groups)
    click.echo(f"{counted(total)}, {len(groups):,} fingerprint{'s' * (len(groups) != 1)}.")


def print_line(found: Found) -> None:
    """Print one dead letter as a line: id, time, state, group, key, error."""
    letter, fingerprint, action = found
    parts = (
        letter.id,
        moment(failed_at_ms(letter)),
        fingerprint.digest,
        action.action if action else "open",
        fingerprint.group or "-",
        short(_bytes(letter.key), 40),
        f"{short(_class_name(letter.exception), 60)}: {short(letter.message, _MESSAGE_WIDTH)}",
    )
    click.echo("  ".join(harmless(part) for part in parts))


def print_letter(found: Found) -> None:
    """Print all that is known of a dead letter."""
    letter, fingerprint, action = found
    state = f"{action.action} {moment(action.at_ms)} by {action.by or '?'}" if action else "open"
    if action and action.to:
        state += f", to {action.to}"
    attempts = "?" if letter.attempts is None else str(letter.attempts)
    first = letter.first_failed_at_ms
    _print_fields(
        ("dead letter", letter.id),
        ("state", state),
        ("event", _origin(found)),
        ("group", letter.group or "not told"),
        ("fingerprint", f"{fingerprint.digest} ({fingerprint.place or 'no place'})"),
        ("error", f"{letter.exception or 'not told'}: {letter.message}"),
        (
            "failure",
            f"{letter.kind or 'not told'}, {attempts} attempts, {letter.redrives} redrives",
        ),
        ("first failed", moment(first) if first else "not told"),
        ("written by", letter.source),
        ("trace", letter.trace_id or "none"),
        *letter.details,
    )
    if letter.left_out_bytes:
        click.echo(f"The payload of {letter.left_out_bytes:,} bytes was too large to be kept here.")
    _print_block("Headers", "".join(f"{n}: {_bytes(v)}\n" for n, v in letter.headers))
    _print_block("Stack trace", letter.stacktrace)
    click.echo(f"\nKey: {_bytes(letter.key)}")
    _print_block(f"Value ({_size(letter.value)})", _bytes(letter.value, lines=True))


def print_plan(plan: Plan) -> None:
    """Print what would go where, and what would not go."""
    if plan.going:
        going = [(to, group, topic, f"{n:,}") for (to, group, topic), n in plan.going.items()]
        print_table(("to", "group", "topic", "count"), going, right=("count",))
    if plan.refused:
        refused = [(reason, f"{n:,}") for reason, n in plan.refused.items()]
        print_table(("refused because", "count"), refused, right=("count",))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Print a table; a pipe gets it wide and without colours."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(table)


def counted(count: int) -> str:
    """Return so many dead letters as words."""
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


def moment(at_ms: int) -> str:
    """Return a time in UTC, as 2026-03-01 14:30:05Z."""
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def _origin(found: Found) -> str:
    origin = found.letter.origin
    if origin is None:
        return "not told"
    return f"{origin}, {moment(origin.timestamp_ms) if origin.timestamp_ms >= 0 else 'no time'}"


def _class_name(exception: str) -> str:
    return exception.rpartition(".")[2] or "?"


def _bytes(value: bytes | None, *, lines: bool = False) -> str:
    return "-" if value is None else shown_bytes(value, lines=lines)


def _size(value: bytes | None) -> str:
    return "null: a tombstone" if value is None else f"{len(value):,} bytes"


def _print_fields(*fields: tuple[str, str]) -> None:
    width = max(len(harmless(name)) for name, _ in fields)
    for name, text in fields:
        click.echo(f"{harmless(name):<{width}}  {harmless(text)}")


def _print_block(title: str, text: str) -> None:
    if not text:
        return
    click.echo(f"\n{title}:")
    for line in text[:_VALUE_CHARACTERS].removesuffix("\n").split("\n"):
        click.echo(f"  {harmless(line, lines=True)}" if line else "")
    if len(text) > _VALUE_CHARACTERS:
        click.echo(f"  … {len(text) - _VALUE_CHARACTERS:,} more characters: see --json or export")
