"""``trunkline bench publish``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.publish import publish as run
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
PLOT = Plot("Acknowledged events a second: more is better", ("events_per_s",))


@click.command()
@click.option("--count", default=100_000, show_default=True, type=COUNT, help="Events.")
@rounds_option
@peers_option
@output_options
def publish(count: int, rounds: int, peers: bool, output: Output) -> None:
    """Publishing over HTTP and from a file, next to bare producers.

    Every producer is idempotent and awaits acks=all. Contestants that publish one event at a time
    publish a tenth ("events"); "ratio" is against aiokafka used in the same way.
    """
    output.show(asyncio.run(run(servers(), count, rounds, note, with_peers=peers)), SPEED, PLOT)
