"""``trunkline bench sizes``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.sizes import growth
from trunkline.cli.bench.output import (
    COUNT,
    SPEED,
    Output,
    note,
    output_options,
    rounds_option,
    servers,
)
from trunkline.cli.bench.plots import Plot

#: What is drawn.
PLOT = Plot("Events a second: more is better", ("events_per_s",))


@click.command()
@click.option("--count", default=200_000, show_default=True, type=COUNT, help="Events of each run.")
@click.option(
    "--partitions",
    default=(1, 10, 100),
    show_default=True,
    multiple=True,
    type=COUNT,
    help="Of it.",
)
@click.option(
    "--value-bytes",
    default=(100, 1_000, 10_000, 100_000),
    show_default=True,
    multiple=True,
    type=COUNT,
    help="Size of an event's JSON.",
)
@click.option(
    "--blocked",
    default=(0, 10_000, 100_000),
    show_default=True,
    multiple=True,
    type=click.IntRange(0),
    help="Keys that wait for a retry.",
)
@rounds_option
@output_options
def sizes(
    *,
    count: int,
    partitions: tuple[int, ...],
    value_bytes: tuple[int, ...],
    blocked: tuple[int, ...],
    rounds: int,
    output: Output,
) -> None:
    """How one worker's speed changes with partitions, sizes of values and blocked keys.

    "ratio" is against a bare loop with the same events, and for blocked keys against the first
    number of them. Each option but --count and --rounds may be given several times.
    """
    measured = growth(
        servers(),
        count,
        rounds,
        note,
        partitions=partitions,
        value_bytes=value_bytes,
        blocked=blocked,
    )
    output.show(asyncio.run(measured), SPEED, PLOT)
