"""``trunkline workers``: the pods, as they report to Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

import click

from trunkline.cli.names import GROUP, SERVICE
from trunkline.cli.screen import screen
from trunkline.cli.system_output import workers_as_json, workers_table
from trunkline.cli.system_reading import check_something_runs, system_view
from trunkline.retries.selection import groups_named
from trunkline.settings import Settings, load_settings
from trunkline.system.alarms import Situation
from trunkline.topology import Topology


@click.command()
@click.option("--service", "services", multiple=True, type=SERVICE, help="Of this service.")
@click.option("--group", "groups", multiple=True, type=GROUP, help="Of this group.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the whole reports.")
def workers(services: tuple[str, ...], groups: tuple[str, ...], as_json: bool) -> None:
    """List the pods: state, partitions, events a second, lag, memory.

    A pod that has been silent for ten seconds is STALE: it was killed, hangs, or has lost Kafka;
    after a day it is forgotten. One that ended in good order is not listed.
    """
    settings = load_settings()
    topology = Topology(settings.namespace)
    wanted_groups = set(groups_named(topology, groups)) if groups else None
    wanted_services = {topology.service(name).name for name in services} or None
    situation = asyncio.run(_read(settings, topology))
    found = [
        worker
        for worker in situation.workers
        if _is(worker.report.group, wanted_groups) and _is(worker.report.service, wanted_services)
    ]
    if as_json:
        click.echo(json.dumps(workers_as_json(found, situation.now_s), indent=2))
    elif found:
        console = screen()
        table = workers_table(found, situation.now_s, details=True, width=console.width)
        console.print(table)
    else:
        click.echo(f"None of the {len(situation.workers)} pods that report is of those.")


async def _read(settings: Settings, topology: Topology) -> Situation:
    async with system_view(settings, topology) as view:
        check_something_runs(view)
        return view.situation()


def _is(name: str | None, wanted: Collection[str] | None) -> bool:
    return wanted is None or name in wanted
