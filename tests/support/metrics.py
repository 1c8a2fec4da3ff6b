"""Scrape a worker, as Prometheus does."""

from __future__ import annotations

import asyncio
import urllib.request

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.worker import Worker

#: What Prometheus 2 and 3 send.
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


async def scrape(pod: Worker) -> dict[str, Metric]:
    """Return a worker's metric families by name; empty while nothing answers."""
    return await asyncio.to_thread(_scrape, pod)


def _scrape(pod: Worker) -> dict[str, Metric]:
    url = f"http://127.0.0.1:{pod.port}/metrics"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": ACCEPT})) as got:
            text = got.read().decode()
    except OSError:
        return {}
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """Return the sum of a sample's values over all series that have these labels."""
    return sum(
        found.value
        for family in families.values()
        for found in family.samples
        if found.name == sample and labels.items() <= found.labels.items()
    )
