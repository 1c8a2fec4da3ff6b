"""``trunkline bench``: what this machine does, as ratios in one run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from trunkline.bench.concurrency import concurrency as run_concurrency
from trunkline.bench.throughput import throughput as run_throughput
from trunkline.broker import ensure_broker
from trunkline.settings import load_settings


@click.group()
def bench() -> None:
    """Measure speed: contestants interleaved in one run, medians and ratios."""


def _note(text: str) -> None:
    click.echo(text, err=True)


@bench.command()
@click.option("--count", default=200_000, show_default=True, help="Events, preloaded.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def throughput(count: int, rounds: int, as_json: bool) -> None:
    """One worker with a trivial handler, next to a bare aiokafka loop."""
    servers = ensure_broker(load_settings())
    _show(asyncio.run(run_throughput(servers, count, rounds, _note)), as_json=as_json)


@bench.command()
@click.option("--count", default=10_000, show_default=True, help="Events on one partition.")
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(1))
@click.option("--keys", default=(1000, 20, 1), show_default=True, multiple=True, type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def concurrency(count: int, rounds: int, keys: tuple[int, ...], as_json: bool) -> None:
    """Handlers that wait 0 to 5 ms, up to 100 keys of a partition at once, in order by key."""
    servers = ensure_broker(load_settings())
    rows = asyncio.run(run_concurrency(servers, count, rounds, keys, _note))
    _show(rows, as_json=as_json)


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"rows": rows}, indent=2))
        return
    columns = ["contestant", "events_per_s", "ratio", "seconds", "cpu_s", "rss_mb", "rounds"]
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
