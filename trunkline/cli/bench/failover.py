"""``trunkline bench failover``."""

from __future__ import annotations

import asyncio

import click

from trunkline.bench.failover import SCENARIOS
from trunkline.bench.failover import failover as run
from trunkline.cli.bench.output import Output, note, output_options, rounds_option, servers
from trunkline.cli.bench.plots import Plot

COLUMNS = (
    *("contestant", "seconds", "least_s", "ratio", "events", "cpu_s", "rss_mb", "lost"),
    *("repeated", "rounds"),
)

#: What is drawn.
PLOT = Plot("Longest pause of a partition in seconds: less is better", ("seconds",))


@click.command()
@click.option(
    "--rate",
    default=400,
    show_default=True,
    type=click.IntRange(100, 20_000),
    help="Events a second.",
)
@click.option("--only", metavar="TEXT", default="", help="Only scenarios with TEXT in their name.")
@rounds_option
@output_options
def failover(rate: int, only: str, rounds: int, output: Output) -> None:
    """How long partitions stand still when a pod is killed, and in a rolling restart.

    Two pods share four partitions. "seconds" is the longest pause of any partition, "least_s" that
    of the one that fared best. None of the events may be lost; those that a killed pod had not
    committed come again.
    """
    scenarios = [scenario for scenario in SCENARIOS if only in scenario.name]
    if not scenarios:
        names = "\n  ".join(scenario.name for scenario in SCENARIOS)
        raise click.BadParameter(f"no scenario has {only!r} in its name. They are:\n  {names}")
    output.show(asyncio.run(run(servers(), rate, rounds, note, scenarios)), COLUMNS, PLOT)
