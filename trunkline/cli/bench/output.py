"""What all benchmarks' commands share: their options, and how their rows are shown and kept."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from trunkline.broker import ensure_broker
from trunkline.cli.bench.plots import Plot, require_pygal
from trunkline.settings import load_settings

SPEED = (
    *("contestant", "events_per_s", "ratio", "events", "seconds", "cpu_s", "rss_mb"),
    *("lost", "repeated"),
)

#: An option's type: 1 or more.
COUNT = click.IntRange(1)

_WIDTH = 160

Row = dict[str, Any]


@dataclass(frozen=True)
class Output:
    """Where the rows of one benchmark go.

    Attributes:
        bench: The benchmark's name.
        as_json: Whether to print JSON instead of a table.
        folder: Where to write ``<bench>.json``, ``.md`` and ``.svg`` besides; None is nowhere.

    """

    bench: str
    as_json: bool
    folder: Path | None

    def show(self, rows: Sequence[Row], columns: Sequence[str], plot: Plot) -> None:
        """Print a row for each contestant, and keep and draw all of them if asked to."""
        if self.as_json:
            click.echo(_document(rows), nl=False)
        else:
            print_table(rows, columns)
        self._keep(rows, plot, markdown(rows, columns))

    def show_upright(self, rows: Sequence[Row], plot: Plot) -> None:
        """Show few contestants of whom much is known: one column each."""
        names = [name for name in rows[0] if name != "contestant"]
        upright = [
            {"contestant": name, **{row["contestant"]: row[name] for row in rows}} for name in names
        ]
        if self.as_json:
            click.echo(_document(rows), nl=False)
        else:
            print_table(upright, tuple(upright[0]))
        self._keep(rows, plot, markdown(upright, tuple(upright[0])))

    def _keep(self, rows: Sequence[Row], plot: Plot, table: str) -> None:
        if self.folder is None:
            return
        path = self.folder / self.bench
        path.with_suffix(".json").write_text(_document(rows), "utf-8")
        path.with_suffix(".md").write_text(table, "utf-8")
        path.with_suffix(".svg").write_text(plot.svg(rows), "utf-8")


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--json`` and ``--out``; it gets them as an :class:`Output`, ``output``."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
    @click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="FOLDER",
        help="Write the rows to FOLDER/<bench>.json and .md too, and draw <bench>.svg.",
    )
    @functools.wraps(command)
    def with_output(*, as_json: bool, out: Path | None, **options: Any) -> None:
        if out is not None:
            _require_usable(out)  # before a quarter of an hour of measuring
        name = click.get_current_context().info_name or command.__name__
        command(output=Output(name, as_json, out), **options)

    return with_output


def _require_usable(folder: Path) -> None:
    """Make sure that rows can be kept and drawn.

    Raises:
        TrunklineError: pygal is missing.
        click.BadParameter: Nothing can be written there.

    """
    require_pygal()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise click.BadParameter(
            f"{folder} cannot be written to ({error.strerror}).", param_hint="--out"
        ) from None


#: ``--rounds``: how often each contestant runs.
rounds_option = click.option("--rounds", default=3, show_default=True, type=COUNT)

#: ``--peers/--no-peers`` as ``peers``; ``--ours-only`` is its older name.
peers_option = click.option(
    "--peers/--no-peers",
    " /--ours-only",
    default=True,
    show_default=True,
    help="Whether to run the peers, which are installed (pip, npm) on first use.",
)


def note(text: str) -> None:
    """Tell what is going on, beside the result."""
    click.echo(text, err=True)


def servers() -> str:
    """Return ``host:port`` of the brokers to measure on; starts the embedded one if it must."""
    return ensure_broker(load_settings())


def print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print rows, a line each; what is None or missing stays empty."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in columns))
    # A file or a log has no width of its own.
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def markdown(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as a Markdown table, figures to the right."""
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(_figure(row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _figure(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _document(rows: Sequence[Row]) -> str:
    return json.dumps({"rows": list(rows)}, indent=2) + "\n"
