"""``trunkline bench starting``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.starting import starting as run
from trunkline.cli.bench.output import Output, note, output_options, rounds_option, servers
from trunkline.cli.bench.plots import Plot

COLUMNS = ("contestant", "seconds", "cpu_s", "rss_mb", "processes")

#: What is drawn.
PLOT = Plot("Seconds until ready: less is better", ("seconds",))


@click.command()
@rounds_option
@output_options
def starting(rounds: int, output: Output) -> None:
    """Start time and memory of one idle worker, and of the whole system with its Kafka."""
    output.show(asyncio.run(run(servers(), rounds, note)), COLUMNS, PLOT)
