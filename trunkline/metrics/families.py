"""Metric families, filled when Prometheus asks: no counter is kept twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from trunkline.delivery.timing import Histogram

#: Label values, and what is measured there; None is not known, and is left out.
Samples = Iterable[tuple[Sequence[str], float | None]]


class Families(Collector):
    """Gives what a function yields, anew for each scrape.

    Args:
        collect: Yields the families.

    """

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        return self._collect()

    def describe(self) -> list[Metric]:
        """Name nothing ahead: to ask before the worker runs would find nothing."""
        return []


def counter(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    """Return a counter; ``_total`` is put behind its name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family


def gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    """Return a gauge."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family


def histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[Sequence[str], Histogram]],
) -> Metric:
    """Return a histogram, its buckets cumulated."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, found in samples:
        bounds = [*map(str, found.bounds), "+Inf"]
        counts = [float(count) for count in accumulate(found.counts)]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), found.sum_s)
    return family
