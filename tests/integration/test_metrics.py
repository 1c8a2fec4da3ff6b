"""``/metrics`` of real workers: what happened to events, in Prometheus' words."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
import uuid

import pytest

from tests.support.metrics import scrape, value
from tests.support.monitoring import dashboard_expressions, names_in, rules
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

#: Between them they expose all that there is.
SERVICES = ("db-server", "auth-service", "notification-service", "dlq")


@pytest.fixture(scope="module")
def topology():
    return Topology(f"metrics-{uuid.uuid4().hex[:6]}")


@pytest.fixture(scope="module")
def pods(kafka, topology, tmp_path_factory):
    """A worker of each service, by name."""
    asyncio.run(apply(KafkaConnection.plaintext(kafka), topology))
    with workers(tmp_path_factory.mktemp("metrics"), kafka, topology.namespace) as start:
        yield {
            name: start(f"{name}-1", TRUNKLINE_SERVICE=name, TRUNKLINE_SESSION_TIMEOUT_S=30)
            for name in SERVICES
        }


async def test_metrics_tell_what_became_of_events(pods, topology):
    """Published, handled and refused ones, their partitions, and nothing of their keys."""
    publisher, pod = pods["auth-service"], pods["db-server"]
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


async def test_rules_and_dashboard_name_only_metrics_that_workers_expose(pods):
    """A metric that was renamed would silence its alert for good."""
    asked = {name for rule in rules() for name in names_in(rule["expr"])}
    asked |= {name for expression in dashboard_expressions() for name in names_in(expression)}
    assert len(asked) > 30
    asked.discard("trunkline_retries_oldest_seconds")  # only what waits has an age

    async def missing() -> set[str]:
        families = [await scrape(pod) for pod in pods.values()]
        return asked - {s.name for pod in families for f in pod.values() for s in f.samples}

    async def none_is_missing() -> bool:
        return not await missing()

    try:
        await eventually(none_is_missing, 120)
    except AssertionError:
        pytest.fail(f"nobody exposes {sorted(await missing())}")


def post(pod, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{pod.port}/events/auth.registered",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20):
        pass
