"""``/metrics`` of real workers: what happened to events, in Prometheus' words."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.support.metrics import scrape, value
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology


@pytest.fixture
def topology(namespace):
    return Topology(namespace)


async def test_metrics_tell_what_became_of_events(kafka, namespace, topology, tmp_path):
    """Published, handled, invalid and dead ones, their partitions, and nothing of their keys."""
    await apply(KafkaConnection.plaintext(kafka), topology)
    with workers(tmp_path, kafka, namespace) as start:
        publisher = start("auth-1", TRUNKLINE_SERVICE="auth-service")
        pod = start("db-1", TRUNKLINE_SERVICE="db-server")
        await publisher.wait_ready()
        await pod.wait_ready()
        for number in range(5):
            post(publisher, b'{"userId": "secret-%d", "email": "u@example.com"}' % number)
        with pytest.raises(urllib.error.HTTPError):
            post(publisher, b'{"userId": 1}')
        topic = topology.real_name(AUTH_REGISTERED)

        async def committed() -> bool:
            found = await scrape(pod)
            return value(found, "trunkline_partition_committed_offset", topic=topic) == 5

        await eventually(committed, what="five committed events")
        found, published = await scrape(pod), await scrape(publisher)
    labels = {"group": topology.real_name("db-server-group"), "topic": topic}
    assert value(found, "trunkline_events_handled_total", **labels) == 5
    assert value(found, "trunkline_handler_seconds_sum", **labels) > 0
    assert value(found, "trunkline_partition_lag", **labels) == 0
    assert value(found, "trunkline_partition_end_offset", **labels) == 5
    assert value(found, "trunkline_commit_seconds_count") > 0
    assert value(found, "trunkline_rebalances_total") >= 1
    assert value(found, "trunkline_health_ready", service="db-server") == 1
    assert value(published, "trunkline_published_events_total", topic=AUTH_REGISTERED) == 5
    assert value(published, "trunkline_refused_posts_total", topic=AUTH_REGISTERED) == 1
    assert "secret" not in str((found, published))


def post(pod, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{pod.port}/events/auth.registered",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20):
        pass
