"""``trunkline bench failures``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.failures import FAILING
from trunkline.bench.failures import failures as run
from trunkline.cli.bench.output import (
    Output,
    note,
    output_options,
    peers_option,
    rounds_option,
    servers,
)
from trunkline.cli.bench.plots import Plot

COLUMNS = (
    "contestant",
    "seconds",
    "ratio",
    "ratio_to_faust",
    "cpu_s",
    "rss_mb",
    "lost",
    "repeated",
)

#: What is drawn.
PLOT = Plot("Seconds until all is handled or dead: less is better", ("seconds",))


@click.command()
@click.option(
    "--count",
    default=100_000,
    show_default=True,
    type=click.IntRange(10),
    help="Events, preloaded.",
)
@click.option(
    "--share",
    default=FAILING,
    show_default=True,
    type=click.FloatRange(0.01, 1),
    help="Of them always fails; 1 is the path of failures alone.",
)
@rounds_option
@peers_option
@output_options
def failures(count: int, share: float, rounds: int, peers: bool, output: Output) -> None:
    """Until all good events are handled and all bad ones dead, after 3 retries without back-off.

    Next to the seed's kafkajs consumer, as it stands ("the seed") and with the retries that it
    means ("retried"), to an aiokafka loop, all with their counts in memory, and to stock Faust
    agents with a table: a write and a send for each attempt that fails, or once for an event.
    "lost" and "repeated" are events, counted from outside.
    """
    rows = asyncio.run(run(servers(), count, rounds, note, ours_only=not peers, share=share))
    output.show(rows, COLUMNS, PLOT)
