"""Tables on a terminal of any width, and in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline.cli.escaping import harmless

#: A pipe gets a row on each line, however long the names are.
_PIPE_WIDTH = 200


def screen() -> Console:
    """Return a console that colours for a terminal, and for a pipe is plain and wide."""
    as_it_is = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if as_it_is else _PIPE_WIDTH)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    right: Collection[str] = (),
    fold: Collection[str] = (),
) -> Table:
    """Return a table; texts in it are made harmless.

    Args:
        headings: Of the columns.
        rows: A cell for each column.
        right: Columns of numbers.
        fold: Columns that may take several lines where the terminal is narrow.

    """
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        if heading in fold:
            made.add_column(heading, overflow="fold")
        else:
            made.add_column(heading, no_wrap=True, justify="right" if heading in right else "left")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(harmless(cell)) for cell in row))
    return made
