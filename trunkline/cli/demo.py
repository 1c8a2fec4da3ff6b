"""``trunkline demo``: steady traffic through the publishers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click

from trunkline.delivery.producer import RecordProducer
from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.up.bad_events import BadEvents
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
@click.option(
    "--bad-share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Bad events for each good one, straight into Kafka; they become dead letters.",
)
def demo(rate: float, publishers: tuple[str, ...], bad_share: float) -> None:
    """Publish sample events for ever through the publishers' HTTP endpoints."""
    pairs = [publisher.partition("=") for publisher in publishers]
    if wrong := next((name for name, _, url in pairs if not url.startswith("http")), None):
        raise click.BadParameter(
            f"{wrong!r}: say SERVICE=http://host:port", param_hint="--publisher"
        )
    urls = {name: url for name, _, url in pairs}
    asyncio.run(_run(urls, rate, bad_share))


async def _run(urls: Mapping[str, str], rate: float, bad_share: float) -> None:
    settings = load_settings()
    topology = Topology(settings.namespace)
    if not bad_share:
        await run_demo(urls, rate, topology, headers=settings.http_headers)
        return
    producer = RecordProducer(settings.connection, "trunkline-demo")
    await producer.start()
    try:
        bad = BadEvents(producer, topology, bad_share)
        await run_demo(urls, rate, topology, bad.after_a_good_one, headers=settings.http_headers)
    finally:
        await producer.stop()
