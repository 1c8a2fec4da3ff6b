"""``trunkline status``: the whole system on one screen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator

import click
from rich.live import Live

from trunkline.cli.interrupting import until_interrupted
from trunkline.cli.screen import screen
from trunkline.cli.system_output import as_json as system_as_json
from trunkline.cli.system_output import as_screen
from trunkline.cli.system_reading import check_something_runs, system_view
from trunkline.settings import Settings, load_settings
from trunkline.system.alarms import Situation, alarms, health
from trunkline.topology import Topology


@click.command()
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: how often.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, a line each time.")
def status(watch: bool, interval: float, as_json: bool) -> None:
    """Show health, alarms, notes, groups and pods of the whole system, as they report to Kafka.

    The first line says OK when nothing is wrong; what deserves attention (open dead letters,
    what is paused or drained) follows in it as a note, as on the console's Overview.

    No worker is asked, so it works from anywhere that reaches Kafka. 'waiting' and 'parked' are
    retries; 'dead' counts dead letters since the pods' start. What takes a while to see (a growing
    lag, new dead letters) is told with --watch, and in the console.

    Exit status 0; 1: the system is failing, nothing runs, or Kafka is away.
    """
    settings = load_settings()
    topology = Topology(settings.namespace)
    if watch:
        asyncio.run(until_interrupted(_watch(settings, topology, interval, as_json=as_json)))
    else:
        sys.exit(asyncio.run(_show(settings, topology, as_json=as_json)))


async def _show(settings: Settings, topology: Topology, *, as_json: bool) -> int:
    async with system_view(settings, topology) as view:
        check_something_runs(view)
        situation = view.situation()
    if as_json:
        click.echo(json.dumps(system_as_json(situation), indent=2))
    else:
        screen().print(as_screen(situation))
    return 1 if health(alarms(situation), situation)[0] == "failing" else 0


async def _watch(
    settings: Settings, topology: Topology, interval_s: float, *, as_json: bool
) -> None:
    async with system_view(settings, topology) as view:
        with _shower(as_json=as_json) as show:
            while True:
                show(view.situation())
                await asyncio.sleep(interval_s)


@contextlib.contextmanager
def _shower(*, as_json: bool) -> Iterator[Callable[[Situation], None]]:
    """Give what shows a situation: in place on a terminal, else one behind the other."""
    if as_json:
        yield lambda situation: click.echo(json.dumps(system_as_json(situation)))
        return
    console = screen()
    if not console.is_terminal:
        yield lambda situation: console.print(as_screen(situation), "", sep="\n")
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda situation: live.update(as_screen(situation), refresh=True)
