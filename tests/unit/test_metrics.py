"""``/metrics``: names, labels and values, in both formats, without a broker."""

from __future__ import annotations

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.unit.test_runner import Bench, record
from trunkline.delivery.timing import Histogram
from trunkline.errors import Permanent
from trunkline.metrics.delivery import _by_kind
from trunkline.metrics.families import histogram
from trunkline.metrics.worker import WorkerMetrics


@pytest.fixture
def metrics():
    return WorkerMetrics("s", "g", "s-1", lambda: (True, ""), lambda: (False, "waits"))


def test_both_formats_can_be_read_and_say_the_same(metrics):
    """Prometheus asks for OpenMetrics first."""
    text, text_type = metrics.expose("text/plain")
    openmetrics, openmetrics_type = metrics.expose("application/openmetrics-text;version=1.0.0")
    assert text_type.startswith("text/plain; version=0.0.4")
    assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.endswith(b"# EOF\n")
    found = [
        {f.name: f for f in read(raw.decode())}
        for read, raw in ((read_text, text), (read_openmetrics, openmetrics))
    ]
    for families in found:
        assert [s.value for s in families["trunkline_health_live"].samples] == [1]
        ready = families["trunkline_health_ready"].samples[0]
        assert (ready.value, ready.labels) == (0, {"service": "s", "group": "g"})
        assert families["process_cpu_seconds"].samples
        assert families["python_gc_collections"].samples


async def test_it_is_served_compressed_when_asked(metrics):
    """A scrape of a worker with many partitions is mostly repetition."""
    app = web.Application()
    app.add_routes(metrics.routes())
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
        assert answer.status == 200
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "trunkline_build_info{" in await answer.text()


def test_a_histogram_is_cumulated():
    """``le`` counts all that took no longer."""
    seconds = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3):
        seconds.observe(value)
    family = histogram("x_seconds", "X.", ("a",), [(("b",), seconds)])
    assert [(s.name, s.labels.get("le"), s.value) for s in family.samples] == [
        ("x_seconds_bucket", "0.1", 2),
        ("x_seconds_bucket", "1.0", 3),
        ("x_seconds_bucket", "+Inf", 4),
        ("x_seconds_count", None, 4),
        ("x_seconds_sum", None, pytest.approx(3.65)),
    ]


async def test_failures_are_counted_by_kind():
    """Transient, permanent, invalid; together they are all that failed."""

    async def handle(event, context):
        raise Permanent("no") if context.offset == 1 else RuntimeError("no")

    bench = Bench(handle)
    bench.feed([record(0), record(1), record(2), record(3, value=b"{")])
    await bench.until_done()
    await bench.runner.drain(1)
    assert dict(_by_kind(bench.counters)) == {"transient": 2, "permanent": 1, "invalid": 1}


def test_names_follow_prometheus_conventions(metrics):
    """Base units, and no suffix that a type adds by itself."""
    for family in read_text(metrics.expose()[0].decode()):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert not family.name.endswith(("_ms", "_count", "_milliseconds", "_kb"))
