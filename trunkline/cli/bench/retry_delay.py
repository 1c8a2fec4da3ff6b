"""``trunkline bench retry-delay``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.retry_delay import retry_delay as run
from trunkline.cli.bench.output import COUNT, Output, note, output_options, servers
from trunkline.cli.bench.plots import Plot

#: What is drawn.
PLOT = Plot("Milliseconds that a retry is late: less is better", ("p50_ms", "p99_ms", "p999_ms"))


@click.command("retry-delay")
@click.option(
    "--waiting", default=10_000, show_default=True, type=COUNT, help="Events that wait at once."
)
@click.option(
    "--delay",
    "delay_s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="The back-off, in seconds.",
)
@click.option(
    "--load",
    "load_per_s",
    default=5_000,
    show_default=True,
    type=click.IntRange(0),
    help="Good events a second on the same topic.",
)
@output_options
def retry_delay(waiting: int, delay_s: float, load_per_s: int, output: Output) -> None:
    """How late retries begin, measured in the handler; never early."""
    output.show_upright(asyncio.run(run(servers(), waiting, delay_s, load_per_s, note)), PLOT)
