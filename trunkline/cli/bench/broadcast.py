"""``trunkline bench broadcast``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.broadcast import broadcast as run
from trunkline.cli.bench.output import COUNT, Output, note, output_options, rounds_option, servers
from trunkline.cli.bench.plots import Plot

COLUMNS = (
    *("contestant", "p50_ms", "p99_ms", "p999_ms", "max_ms", "ratio", "events", "events_per_s"),
    *("cpu_s", "rss_mb", "lost", "repeated"),
)

#: What is drawn.
PLOT = Plot("Milliseconds from due to every client: less is better", ("p50_ms", "p99_ms"))


@click.command()
@click.option("--pods", default=8, show_default=True, type=COUNT, help="Of many pods.")
@click.option("--clients", default=1000, show_default=True, type=COUNT, help="Of many clients.")
@click.option("--rate", default=100, show_default=True, type=COUNT, help="Notifications a second.")
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long each run is measured.",
)
@rounds_option
@output_options
def broadcast(
    *, pods: int, clients: int, rate: int, seconds: float, rounds: int, output: Output
) -> None:
    """Time from when a notification is due to be published until each client has it, in ms.

    "ratio" is the p99 of one pod with one client divided by the row's: 0.5 is twice as late.
    """
    measured = run(
        servers(),
        pods=pods,
        clients=clients,
        per_s=rate,
        seconds=seconds,
        rounds=rounds,
        progress=note,
    )
    output.show(asyncio.run(measured), COLUMNS, PLOT)
