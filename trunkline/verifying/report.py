"""Outcomes as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from trunkline.verifying.outcome import Counts, Outcome


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """Return a table, a row for each pattern; lines that differ are red."""
    table = Table(show_lines=True)
    table.add_column("pattern", overflow="fold")
    table.add_column("expected", overflow="fold")
    table.add_column("counted", overflow="fold")
    table.add_column("", no_wrap=True)
    for outcome in outcomes:
        verdict = Text("ok", style="green") if outcome.ok else Text("DIFFERENT", style="bold red")
        expected, counted = _lines(outcome.expected), _lines(outcome.counted)
        table.add_row(
            Text(outcome.name),
            Text("\n".join(f"{name} {value}".strip() for name, value in expected.items())),
            _marked(counted, expected),
            verdict,
        )
    return table


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one line about all of them."""
    different = [outcome.name for outcome in outcomes if not outcome.ok]
    if not different:
        return f"All {len(outcomes)} patterns counted as expected."
    return f"{len(different)} of {len(outcomes)} patterns differ: {', '.join(different)}."


def _lines(counts: Counts | str, prefix: str = "") -> dict[str, str]:
    """Return a line for each count, objects in objects with their path before."""
    if isinstance(counts, str):
        return {"": counts}
    lines: dict[str, str] = {}
    for name, value in counts.items():
        # A name with a space is no name of ours, but of what was counted.
        path = prefix + (name if " " in name else name.replace("_", " "))
        if isinstance(value, Mapping):
            lines |= _lines(dict(value), f"{path}: ")
        else:
            lines[path] = _plain(value)
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return str(value)


def _marked(counted: Mapping[str, str], expected: Mapping[str, str]) -> Text:
    text = Text()
    for number, (name, value) in enumerate(counted.items()):
        line = f"{name} {value}".strip()
        style = "" if expected.get(name) == value else "bold red"
        text.append(f"\n{line}" if number else line, style)
    return text
