"""``trunkline bench throughput``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.throughput import throughput as run
from trunkline.cli.bench.output import (
    COUNT,
    SPEED,
    Output,
    note,
    output_options,
    peers_option,
    rounds_option,
    servers,
)
from trunkline.cli.bench.plots import Plot

#: What is drawn.
PLOT = Plot("Events a second: more is better", ("events_per_s",))


@click.command()
@click.option("--count", default=200_000, show_default=True, type=COUNT, help="Events, preloaded.")
@rounds_option
@peers_option
@output_options
def throughput(count: int, rounds: int, peers: bool, output: Output) -> None:
    """One worker with a trivial handler, next to bare loops and other tools.

    Contestants that handle few events a second read a twentieth of them ("events"). "lost" and
    "repeated" are events, counted by the handler; ours must have none.
    """
    output.show(asyncio.run(run(servers(), count, rounds, note, with_peers=peers)), SPEED, PLOT)
