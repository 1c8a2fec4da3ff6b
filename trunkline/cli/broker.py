"""``trunkline broker``: the embedded Kafka, from the command line."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from trunkline.broker import KAFKA_VERSION, BrokerStatus, EmbeddedBroker, SecurityOptions
from trunkline.broker.logs import follow, last_lines
from trunkline.cli.suggesting import SuggestingGroup
from trunkline.errors import BrokerError
from trunkline.settings import Settings, load_settings
from trunkline.topics.acls import principals
from trunkline.topology import Topology

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of its data, logs and state.  [env: TRUNKLINE_BROKER_DIR; .trunkline/broker]",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=SuggestingGroup)
def broker() -> None:
    """Start and stop the embedded Kafka: a real broker, without Java or Docker to install.

    Its data is kept between runs. Where KAFKA_BOOTSTRAP_SERVERS names a cluster, that one is
    used and nothing is started.
    """


@broker.command()
@click.option(
    "--nodes",
    type=click.Choice(["1", "3"]),
    help="Three give replication and failover.  [default: what its data has, else 1]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_000),
    help="Where node 0 listens; node i takes PORT+i, its controller PORT+10+i.  "
    "[env: TRUNKLINE_BROKER_PORT; 19092]",
)
@_directory
@click.option("--reset", is_flag=True, help="Delete all its records first.")
@click.option("--secure", is_flag=True, help="With TLS, a user for each service, and ACLs.")
@_as_json
def start(
    nodes: str | None,
    port: int | None,
    directory: Path | None,
    *,
    reset: bool,
    secure: bool,
    as_json: bool,
) -> None:
    """Start it in the background, and return when it is ready.

    --secure holds from its first start (or --reset) on: every client needs TLS and a user then, and
    all but 'admin' only have the rights that they were granted (trunkline topics acls --apply).
    """
    settings = _settings(directory, port)
    if not settings.uses_embedded_broker:
        _say_external(settings, as_json)
        return
    began_at = time.monotonic()
    options = SecurityOptions(principals(Topology())) if secure else None
    embedded = EmbeddedBroker.of(settings, int(nodes) if nodes else None, options)
    started = embedded.start(reset=reset, say=lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps({"started": started, **asdict(embedded.status())}))
    elif started:
        click.echo(
            f"Apache Kafka {KAFKA_VERSION} is ready at {embedded.bootstrap_servers} "
            f"({time.monotonic() - began_at:.1f} s). Data in {embedded.directory}; "
            "end it with: trunkline broker stop"
        )
        if embedded.security:
            folder = embedded.security.folder
            click.echo(f"Clients need a user: source {folder}/admin.env, or another one there.")
    else:
        click.echo(f"It runs already: Apache Kafka at {embedded.bootstrap_servers}.")


@broker.command()
@_directory
@_as_json
def stop(directory: Path | None, as_json: bool) -> None:
    """Stop it; its records stay."""
    embedded = EmbeddedBroker.of(_settings(directory))
    stopped = embedded.stop()
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo("Stopped." if stopped else f"Nothing runs in {embedded.directory}.")


@broker.command()
@_directory
@_as_json
def status(directory: Path | None, as_json: bool) -> None:
    """Show its nodes; exit 0 when all of them are ready, else 1."""
    settings = _settings(directory)
    if not settings.uses_embedded_broker:
        _say_external(settings, as_json)
        return
    now = EmbeddedBroker.of(settings).status()
    if as_json:
        click.echo(json.dumps(asdict(now)))
    else:
        _print_table(now)
    if not now.running:
        raise click.exceptions.Exit(1)


@broker.command()
@_directory
@click.option("--node", type=click.IntRange(0, 2), default=0, show_default=True, help="Whose log.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until Ctrl-C.")
def logs(directory: Path | None, node: int, lines: int, following: bool) -> None:
    """Print the end of a node's log."""
    embedded = EmbeddedBroker.of(_settings(directory))
    path = embedded.log_file(node)
    if not path.exists():
        raise BrokerError(
            f"Node {node} of the broker in {embedded.directory} has no log: it was never started. "
            "Start it with: trunkline broker start"
        )
    try:
        for line in follow(path, lines) if following else last_lines(path, lines):
            click.echo(line)
    except KeyboardInterrupt:
        return


def _settings(directory: Path | None, port: int | None = None) -> Settings:
    given = {"broker_dir": directory, "broker_port": port}
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def _say_external(settings: Settings, as_json: bool) -> None:
    servers = settings.kafka_bootstrap_servers
    if as_json:
        click.echo(json.dumps({"external": True, "bootstrap_servers": servers}))
    else:
        click.echo(
            f"KAFKA_BOOTSTRAP_SERVERS is set: {servers} is used, and nothing is started here."
        )


def _print_table(now: BrokerStatus) -> None:
    if not now.nodes:
        click.echo(f"No broker in {now.directory}. Start one with: trunkline broker start")
        return
    table = Table("node", "listens", "controller", "pid", "state", "memory", box=None)
    for node in now.nodes:
        state = "ready" if node.ready else "starting" if node.pid else "stopped"
        memory = f"{node.memory_bytes / 1e6:.0f} MB" if node.pid else ""
        pid = str(node.pid or "")
        table.add_row(str(node.node), node.listens, node.controller, pid, state, memory)
    Console().print(table)
    version = f"Apache Kafka {now.kafka_version}, " if now.kafka_version else ""
    topics = f"{now.topics} topics, " if now.running else ""
    click.echo(f"{version}cluster {now.cluster_id}, {topics}data in {now.directory}")
