"""The command: ``python -m tests.chaos --events 100000 --keys 1000 --minutes 10 --seed 7``."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.run import Plan, Run
from trunkline.broker import EmbeddedBroker


@click.command()
@click.option("--events", default=100_000, show_default=True, help="How many are published.")
@click.option("--keys", default=1_000, show_default=True, help="Of how many keys they are.")
@click.option("--minutes", default=10.0, show_default=True, help="How long there are mishaps.")
@click.option("--seed", default=7, show_default=True, help="Decides events, mishaps, outcomes.")
@click.option("--patience", default=300.0, show_default=True, help="Seconds to come to rest.")
@click.option("--nodes", default=1, show_default=True, help="Of the broker: 1 or 3.")
@click.option("--no-mishaps", is_flag=True, help="Only failing handlers, nothing is killed.")
@click.option("--freezes", is_flag=True, help="Also stop pods for longer than their session.")
@click.option("--folder", type=click.Path(path_type=Path), help="Kept; else a new one in /tmp.")
def main(
    *,
    events: int,
    keys: int,
    minutes: float,
    seed: int,
    patience: float,
    nodes: int,
    no_mishaps: bool,
    freezes: bool,
    folder: Path | None,
) -> None:
    """Break everything at random, then look whether every event was handled or is a dead letter.

    Prints the report; journals, logs, report.txt and report.json stay in the folder. Exit code 1
    when a promise was broken.
    """
    folder = (folder or Path(tempfile.mkdtemp(prefix="trunkline-chaos-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(events, keys, minutes * 60, seed, patience, mishaps=not no_mishaps, freezes=freezes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the broker would run on
    broker = EmbeddedBroker(folder / "broker", port=0, nodes=nodes)
    click.echo(f"In {folder}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each outage many times
    broker.start()
    try:
        report = asyncio.run(Run(plan, broker, folder, _say)())
    finally:
        broker.stop()
    click.echo(str(report))
    raise SystemExit(0 if report.ok else 1)


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%X')} {line}", err=True)


if __name__ == "__main__":
    main()
