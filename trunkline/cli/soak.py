"""``trunkline soak``: does it go on for long, whatever dies, and is the account exact?"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from trunkline.broker import EmbeddedBroker
from trunkline.cli.interrupting import unless_interrupted
from trunkline.connection import KafkaConnection
from trunkline.settings import Settings, load_settings
from trunkline.soak.fates import Shares
from trunkline.soak.report import Report
from trunkline.soak.run import Plan, Soak
from trunkline.topology import SERVICES
from trunkline.verifying.stage import Stage


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(min=1), default=200.0, show_default=True, help="Events/s."
)
@click.option("--seed", default=1, show_default=True, help="Decides events and faults.")
@click.option(
    "--every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds between two faults, on average; 0 for none.",
)
@click.option(
    "--dead-share",
    type=click.FloatRange(0, 0.2),
    default=0.005,
    show_default=True,
    help="Share of the events that are refused for ever; as many more are invalid.",
)
@click.option(
    "--nodes", type=click.Choice(["1", "3"]), default="1", help="Of the Kafka that it starts."
)
@click.option("--keep", is_flag=True, help="Leave topics, logs and data for a closer look.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; the minutes go to stderr.")
def soak(  # noqa: PLR0917  # click calls it by names
    minutes: float,
    rate: float,
    seed: int,
    every: float,
    dead_share: float,
    nodes: str,
    keep: bool,
    as_json: bool,
) -> None:
    """Run services under load and faults, and count where every event ended.

    auth-service, order-service, two pods each of db-server and engine, and dlq, in a namespace of
    their own. 5 % of the events fail for a while, some for ever, and some are invalid. Second
    pods and publishers are killed and stopped at random, and so is the Kafka that this starts for
    itself. With KAFKA_BOOTSTRAP_SERVERS that cluster is used, and left alone.

    The verdict: every acknowledged event is in its topic; each event of a topic was handled or is
    a dead letter, as it had to be, exactly one of both; lag and retries came back to 0; no pod
    ended by itself; the memory of the first pods is flat. Flat means that after the warm-up (a
    third of the time, at most 10 minutes) the fitted slope adds less than 12 MB or 10 %.

    Exit status 1 when one of these was not kept.
    """
    shares = Shares(hopeless=dead_share, invalid=dead_share)
    plan = Plan(minutes, rate, seed, every, shares=shares)
    folder = Path(tempfile.mkdtemp(prefix="trunkline-soak-"))
    for name in ("aiokafka", "trunkline"):  # our own clients tell each outage many times
        logging.getLogger(name).setLevel(logging.CRITICAL)
    report: Report | None = None
    try:
        with _kafka(load_settings(), folder, int(nodes)) as (connection, broker):
            report = asyncio.run(_run(plan, connection, folder, broker, keep=keep))
    finally:
        if keep or report is None or not report.ok:
            _say(f"Logs and data: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(json.dumps(report.as_dict(), indent=2) if as_json else str(report))
    if not report.ok:
        raise SystemExit(1)


async def _run(
    plan: Plan,
    connection: KafkaConnection,
    folder: Path,
    broker: EmbeddedBroker | None,
    *,
    keep: bool,
) -> Report:
    namespace = f"soak-{uuid.uuid4().hex[:6]}"

    async def run() -> Report:
        services = [service.name for service in SERVICES]
        stage = Stage(connection, namespace, folder / "pods", services, keep=keep)
        async with stage:
            return await Soak(plan, stage, folder / "pods", broker, _say)()

    return await unless_interrupted(run())


@contextmanager
def _kafka(
    settings: Settings, folder: Path, nodes: int
) -> Iterator[tuple[KafkaConnection, EmbeddedBroker | None]]:
    """Lend a cluster, and the broker when it is ours to be killed."""
    if not settings.uses_embedded_broker:
        yield settings.connection, None
        return
    # Not the project's own: that one may be in use, and is not to be killed.
    broker = EmbeddedBroker(folder / "broker", port=0, nodes=nodes)
    broker.start(say=_say)
    try:
        yield KafkaConnection.plaintext(broker.bootstrap_servers), broker
    finally:
        broker.stop()


def _say(line: str) -> None:
    click.echo(line, err=True)
