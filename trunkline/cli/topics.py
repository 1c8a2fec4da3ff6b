"""``trunkline topics``: the declared topics against those of the cluster."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline.cli.suggesting import SuggestingGroup
from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError
from trunkline.settings import Settings, load_settings
from trunkline.topics import ClusterTopic, Plan
from trunkline.topics import apply as apply_topology
from trunkline.topics import plan as plan_topology
from trunkline.topics.administration import read_topics
from trunkline.topics.report import Mark, describe, readable
from trunkline.topics.view import CLEANUP, CONFIGS, MIN_INSYNC, RETENTION
from trunkline.topology import Topology

_STYLES: dict[Mark, str] = {"+": "green", "~": "yellow", "!": "bold red", "=": "dim", " ": ""}

_PIPE_WIDTH = 200
_ASK_AGAIN_S = 1.0

# "\b" keeps click from filling the lines that follow it.
_PLAN_HELP = """Show how the cluster's topics differ from the declared ones; change nothing.

\b
+  is missing and will be created
~  differs and will be changed; partitions only with 'apply --grow'
!  is not done by Trunkline: it is impossible, or yours to do
=  is more than declared, and stays

Exit status 1 when a topic would have to shrink."""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=SuggestingGroup)
def topics() -> None:
    """Plan, apply and list the topics of the topology."""


@topics.command(help=_PLAN_HELP)
@_json_option
def plan(as_json: bool) -> None:
    """Show how the cluster's topics differ from the declared ones."""
    settings = load_settings()
    result = asyncio.run(plan_topology(settings.connection, Topology(settings.namespace)))
    _show(result, settings, as_json=as_json, applied=False)
    _exit_for(result)


@topics.command()
@click.option("--grow", is_flag=True, help="Add the partitions that are declared and missing.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="How long to wait for a Kafka that does not answer, or refuses, as yet.",
)
@click.option(
    "--brokers",
    type=click.IntRange(1),
    default=1,
    help="Do nothing before so many are there: with fewer than 3, topics get a single copy.",
)
@_json_option
def apply(grow: bool, wait_s: float, brokers: int, as_json: bool) -> None:
    """Create missing topics and set settings back; never shrink or delete anything.

    Exit status 1 when a topic would have to shrink; all the rest is done nevertheless.
    """
    settings = load_settings()
    topology = Topology(settings.namespace)
    result = asyncio.run(_apply(settings.connection, topology, grow, wait_s, brokers))
    _show(result, settings, as_json=as_json, applied=True)
    _exit_for(result)


@topics.command()
@_json_option
def ls(as_json: bool) -> None:
    """List the declared topics as they are in the cluster."""
    settings = load_settings()
    topology = Topology(settings.namespace)
    view = asyncio.run(read_topics(settings.connection, topology))
    rows = [(topic.name, view.topics.get(topic.name)) for topic in topology.topics()]
    if as_json:
        click.echo(json.dumps([_row_to_dict(name, topic) for name, topic in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("topic", overflow="fold")
    for heading in ("partitions", "replicas", "min in sync"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("cleanup", no_wrap=True)
    table.add_column("retention", no_wrap=True)
    for name, topic in rows:
        table.add_row(name, *_cells(topic))
    _console().print(table)


@topics.command()
@click.option("--service", "-s", "names", multiple=True, help="Only this one; several times too.")
@click.option(
    "--principal",
    default="User:{service}",
    show_default=True,
    help="Who the services are in Kafka; such as 'User:CN={service}' for certificates.",
)
@click.option("--commands", is_flag=True, help="Print kafka-acls commands.")
@click.option(
    "--apply", "applied", is_flag=True, help="Grant them now; needs Alter on the cluster."
)
@_json_option
def acls(
    names: tuple[str, ...], principal: str, commands: bool, applied: bool, as_json: bool
) -> None:
    """Print the rights that each service needs in Kafka, and no others.

    Services, and three roles: 'operator' (retries, dlq, tail, status), 'topics-admin' (topics plan
    and apply) and 'lag-reader' (KEDA). They follow from the topology, TRUNKLINE_NAMESPACE included.
    --apply adds what is missing and takes nothing away.
    """
    from trunkline.cli.topics_acls import show_acls  # noqa: PLC0415  # only this needs it

    show_acls(load_settings(), names, principal, commands=commands, apply=applied, as_json=as_json)


async def _apply(
    connection: KafkaConnection, topology: Topology, grow: bool, wait_s: float, brokers: int
) -> Plan:
    give_up_at = time.monotonic() + wait_s
    told = ""
    while True:
        try:
            return await apply_topology(connection, topology, grow=grow, brokers=brokers)
        except BrokerError as error:
            if (left_s := give_up_at - time.monotonic()) <= 0:
                raise
            if str(error) != told:
                told = str(error)
                click.echo(f"Waiting, for {left_s:.0f} s at most: {told}", err=True)
            await asyncio.sleep(min(_ASK_AGAIN_S, left_s))


def _show(result: Plan, settings: Settings, *, as_json: bool, applied: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
        return
    console = _console()
    where = str(settings.connection)
    brokers = f"{result.brokers} broker{'' if result.brokers == 1 else 's'}"
    console.print(Text(f"Topics on {where} ({brokers})", style="bold"), soft_wrap=True)
    for mark, text in describe(result, applied=applied):
        line = f"{mark} {text}" if mark != " " else text
        console.print(Text(line, style=_STYLES[mark]), soft_wrap=True)


def _exit_for(result: Plan) -> None:
    if result.refused:
        sys.exit(1)


def _console() -> Console:
    """Return a console that colours for a terminal, and for a pipe is plain and wide."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _cells(topic: ClusterTopic | None) -> list[str | Text]:
    if topic is None:
        return [Text("missing", style="red")]
    return [
        str(topic.partitions),
        str(topic.replication_factor),
        topic.configs.get(MIN_INSYNC, ""),
        topic.configs.get(CLEANUP, ""),
        readable(RETENTION, topic.configs.get(RETENTION, "")),
    ]


def _row_to_dict(name: str, topic: ClusterTopic | None) -> dict[str, Any]:
    return {
        "topic": name,
        "exists": topic is not None,
        "partitions": topic.partitions if topic else None,
        "replication_factor": topic.replication_factor if topic else None,
        "configs": {key: topic.configs.get(key) for key in CONFIGS} if topic else None,
    }
