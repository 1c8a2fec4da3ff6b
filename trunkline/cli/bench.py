"""``trunkline bench``: what this machine does, as ratios in one run."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from trunkline.bench.concurrency import concurrency as run_concurrency
from trunkline.bench.failures import failures as run_failures
from trunkline.bench.recovery import recovery as run_recovery
from trunkline.bench.retry_delay import retry_delay as run_retry_delay
from trunkline.bench.throughput import throughput as run_throughput
from trunkline.broker import ensure_broker
from trunkline.settings import load_settings

_SPEED = ("contestant", "events_per_s", "ratio", "seconds", "cpu_s", "rss_mb", "rounds")
_FAILURES = ("contestant", "seconds", "ratio", "cpu_s", "rss_mb", "lost", "repeated")

_count = click.IntRange(1)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def bench() -> None:
    """Measure speed: contestants interleaved in one run, medians and ratios."""
    # Topics that are made and deleted all the time are news to the client each time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _note(text: str) -> None:
    click.echo(text, err=True)


@bench.command()
@click.option("--count", default=200_000, show_default=True, help="Events, preloaded.")
@click.option("--rounds", default=3, show_default=True, type=_count)
@_as_json
def throughput(count: int, rounds: int, as_json: bool) -> None:
    """One worker with a trivial handler, next to a bare aiokafka loop."""
    servers = ensure_broker(load_settings())
    _show(asyncio.run(run_throughput(servers, count, rounds, _note)), _SPEED, as_json=as_json)


@bench.command()
@click.option("--count", default=10_000, show_default=True, help="Events on one partition.")
@click.option("--rounds", default=1, show_default=True, type=_count)
@click.option("--keys", default=(1000, 20, 1), show_default=True, multiple=True, type=int)
@_as_json
def concurrency(count: int, rounds: int, keys: tuple[int, ...], as_json: bool) -> None:
    """Handlers that wait 0 to 5 ms, up to 100 keys of a partition at once, in order by key."""
    servers = ensure_broker(load_settings())
    rows = asyncio.run(run_concurrency(servers, count, rounds, keys, _note))
    _show(rows, _SPEED, as_json=as_json)


@bench.command()
@click.option(
    "--count",
    default=100_000,
    show_default=True,
    type=click.IntRange(10),
    help="Events, preloaded; 30 % of them always fail.",
)
@click.option("--rounds", default=3, show_default=True, type=_count)
@click.option("--ours-only", is_flag=True, help="Leave out kafkajs (needs Node) and aiokafka.")
@_as_json
def failures(count: int, rounds: int, ours_only: bool, as_json: bool) -> None:
    """Until all good events are handled and all bad ones dead, after 3 retries without back-off.

    Next to the seed's kafkajs consumer, as it stands ("the seed") and with the retries that it
    means ("retried"), and to an aiokafka loop, all with their counts in memory. "lost" and
    "repeated" are events, counted from outside.
    """
    servers = ensure_broker(load_settings())
    rows = asyncio.run(run_failures(servers, count, rounds, _note, ours_only=ours_only))
    _show(rows, _FAILURES, as_json=as_json)


@bench.command("retry-delay")
@click.option(
    "--waiting", default=10_000, show_default=True, type=_count, help="Events that wait at once."
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
@_as_json
def retry_delay(waiting: int, delay_s: float, load_per_s: int, as_json: bool) -> None:
    """How late retries begin, measured in the handler; never early."""
    servers = ensure_broker(load_settings())
    rows = asyncio.run(run_retry_delay(servers, waiting, delay_s, load_per_s, _note))
    _show_upright(rows, as_json=as_json)


@bench.command()
@click.option(
    "--waiting", default=100_000, show_default=True, type=_count, help="Events that wait."
)
@_as_json
def recovery(waiting: int, as_json: bool) -> None:
    """What waiting retries cost in memory, and how long a new pod takes to have them."""
    servers = ensure_broker(load_settings())
    rows = asyncio.run(run_recovery(servers, waiting, _note))
    _show_upright(rows, as_json=as_json)


def _show(rows: list[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"rows": rows}, indent=2))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    Console().print(table)


def _show_upright(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Show few contestants of whom much is known: one column each."""
    names = [name for name in rows[0] if name != "contestant"]
    upright = [
        {"contestant": name, **{row["contestant"]: row[name] for row in rows}} for name in names
    ]
    _show(rows if as_json else upright, tuple(upright[0]), as_json=as_json)
