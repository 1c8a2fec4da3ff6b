"""``trunkline demo``: steady traffic through the publishers."""

from __future__ import annotations

import asyncio

import click

from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.up.demo import run_demo


@click.command()
@click.option("--rate", default=20.0, show_default=True, type=click.FloatRange(0.1, 10_000))
@click.option(
    "--publisher",
    "publishers",
    multiple=True,
    required=True,
    metavar="SERVICE=URL",
    help="Where a publishing service listens; once for each.",
)
def demo(rate: float, publishers: tuple[str, ...]) -> None:
    """Publish sample events for ever through the publishers' HTTP endpoints."""
    pairs = [publisher.partition("=") for publisher in publishers]
    if wrong := next((name for name, _, url in pairs if not url.startswith("http")), None):
        raise click.BadParameter(
            f"{wrong!r}: say SERVICE=http://host:port", param_hint="--publisher"
        )
    urls = {name: url for name, _, url in pairs}
    asyncio.run(run_demo(urls, rate, Topology(load_settings().namespace)))
