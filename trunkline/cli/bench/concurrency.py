"""``trunkline bench concurrency``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.concurrency import concurrency as run
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

COLUMNS = ("contestant", "seconds", "events_per_s", "ratio", "cpu_s", "rss_mb", "out_of_order")

#: What is drawn.
PLOT = Plot("Seconds until all is handled: less is better", ("seconds",))


@click.command()
@click.option("--count", default=10_000, show_default=True, type=COUNT, help="Events.")
@rounds_option
@click.option(
    "--keys",
    default=(1, 20, 1000, 0),
    show_default=True,
    multiple=True,
    type=click.IntRange(0),
    help="Keys that the events have: 1 is the order of the partition, 0 is no order.",
)
@peers_option
@output_options
def concurrency(
    count: int, rounds: int, keys: tuple[int, ...], peers: bool, output: Output
) -> None:
    """Handlers that wait 0 to 5 ms, 100 at once, on one partition, in order by key.

    Next to Confluent's Parallel Consumer with the same work and as many threads. Time runs from
    the first handler's start to the last one's end.
    """
    rows = asyncio.run(run(servers(), count, rounds, keys, note, ours_only=not peers))
    output.show(rows, COLUMNS, PLOT)
