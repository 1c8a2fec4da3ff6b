"""``trunkline bench latency``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.latency import latency as run
from trunkline.cli.bench.output import (
    COUNT,
    Output,
    note,
    output_options,
    peers_option,
    rounds_option,
    servers,
)
from trunkline.cli.bench.plots import Plot

COLUMNS = (
    *("contestant", "p50_ms", "p99_ms", "p999_ms", "max_ms", "ratio", "cpu_s", "rss_mb"),
    *("lost", "repeated"),
)

#: What is drawn.
PLOT = Plot("Milliseconds from due to handled: less is better", ("p50_ms", "p99_ms"))


@click.command()
@click.option(
    "--rate",
    "rates",
    default=(500, 5000),
    show_default=True,
    multiple=True,
    type=COUNT,
    help="Events a second; may be given several times.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long each run is measured.",
)
@rounds_option
@peers_option
@output_options
def latency(
    rates: tuple[int, ...], seconds: float, rounds: int, peers: bool, output: Output
) -> None:
    """Time from when an event is due to be published until its handler has it, in ms.

    "ratio" is the bare loop's p99 divided by the contestant's: 2 is half as late.
    """
    rows = asyncio.run(run(servers(), rates, seconds, rounds, note, with_peers=peers))
    output.show(rows, COLUMNS, PLOT)
