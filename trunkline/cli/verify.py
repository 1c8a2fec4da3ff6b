"""``trunkline verify``: does every pattern of the seed hold here?"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from trunkline.broker import EmbeddedBroker
from trunkline.cli.interrupting import unless_interrupted
from trunkline.connection import KafkaConnection
from trunkline.settings import Settings, load_settings
from trunkline.verifying.outcome import Outcome
from trunkline.verifying.patterns import PATTERNS, Pattern
from trunkline.verifying.report import as_table, summary
from trunkline.verifying.runner import run_patterns

_PIPE_WIDTH = 160


def _help() -> str:
    patterns = "\n".join(f"{one.name}: {one.promise}" for one in PATTERNS)
    return f"""Run every pattern of the seed with real worker processes, and count.

Each pattern has topics, groups and databases of its own, on the cluster of KAFKA_BOOTSTRAP_SERVERS
or else on the embedded Kafka, which is started when it does not run.

Exit status 1 when anything was counted other than expected.

\b
{patterns}"""


@click.command(help=_help())
@click.option(
    "--pattern",
    "names",
    multiple=True,
    metavar="NAME",
    type=click.Choice([pattern.name for pattern in PATTERNS]),
    help="Check only this one; may be given several times.",
)
@click.option("--keep", is_flag=True, help="Leave topics, logs and data for a closer look.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(names: tuple[str, ...], keep: bool, as_json: bool) -> None:
    """Check the chosen patterns, print what was counted, and exit."""
    chosen = [pattern for pattern in PATTERNS if not names or pattern.name in names]
    folder = Path(tempfile.mkdtemp(prefix="trunkline-verify-"))
    outcomes: list[Outcome] = []
    try:
        with _kafka(load_settings()) as connection:
            outcomes = asyncio.run(_run(chosen, connection, folder, keep=keep))
    finally:
        _leave(folder, keep=keep or not all(outcome.ok for outcome in outcomes))
    _show(outcomes, as_json=as_json)
    if not all(outcome.ok for outcome in outcomes):
        sys.exit(1)


async def _run(
    patterns: Sequence[Pattern], connection: KafkaConnection, folder: Path, *, keep: bool
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        return [o async for o in run_patterns(patterns, connection, folder, _say, keep=keep)]

    return await unless_interrupted(run())


@contextmanager
def _kafka(settings: Settings) -> Iterator[KafkaConnection]:
    """Lend the cluster; the embedded broker is stopped only by who started it."""
    if not settings.uses_embedded_broker:
        yield settings.connection
        return
    broker = EmbeddedBroker.of(settings)
    started = broker.start(say=_say)
    try:
        yield KafkaConnection.plaintext(broker.bootstrap_servers)
    finally:
        if started:
            broker.stop()


def _leave(folder: Path, *, keep: bool) -> None:
    if keep:
        _say(f"Logs and data of the workers: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _show(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"patterns": [one.as_dict() for one in outcomes]}, indent=2))
        return
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(width=width, highlight=False).print(as_table(outcomes))
    click.echo(summary(outcomes))


def _say(line: str) -> None:
    click.echo(line, err=True)
