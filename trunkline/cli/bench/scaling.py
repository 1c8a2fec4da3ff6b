"""``trunkline bench scaling``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.scaling import scaling as run
from trunkline.cli.bench.output import COUNT, Output, note, output_options, rounds_option, servers
from trunkline.cli.bench.plots import Plot

COLUMNS = (
    *("contestant", "workers", "events_per_s", "ratio", "scale", "seconds", "cpu_s", "rss_mb"),
    *("lost", "repeated"),
)

#: What is drawn.
PLOT = Plot("Events a second, all workers together: more is better", ("events_per_s",))


@click.command()
@click.option("--count", default=400_000, show_default=True, type=COUNT, help="Events, held back.")
@click.option(
    "--workers", default=(1, 2, 4), show_default=True, multiple=True, type=COUNT, help="How many."
)
@rounds_option
@output_options
def scaling(count: int, workers: tuple[int, ...], rounds: int, output: Output) -> None:
    """1, 2 and 4 workers that share four partitions, next to as many bare loops.

    "ratio" is against as many bare loops, "scale" against one of the same kind: what several bare
    loops gain is what the machine has left for more.
    """
    output.show(asyncio.run(run(servers(), count, rounds, workers, note)), COLUMNS, PLOT)
