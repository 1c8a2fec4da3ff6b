"""``trunkline bench recovery``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.recovery import recovery as run
from trunkline.cli.bench.output import COUNT, Output, note, output_options, servers
from trunkline.cli.bench.plots import Plot

#: What is drawn.
PLOT = Plot("Seconds until a new worker is at work: less is better", ("start_s", "recovery_s"))


@click.command()
@click.option("--waiting", default=100_000, show_default=True, type=COUNT, help="Events that wait.")
@output_options
def recovery(waiting: int, output: Output) -> None:
    """What waiting retries cost in memory, and how long a new pod takes to have them."""
    output.show_upright(asyncio.run(run(servers(), waiting, note)), PLOT)
