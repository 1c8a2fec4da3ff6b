"""Pods report to Kafka, and a view elsewhere shows all of them: real workers, really killed."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from tests.support.kafka import admin
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.settings import load_settings
from trunkline.system.view import SystemView
from trunkline.topics import apply
from trunkline.topology import ORDER_CREATED, Topology

ORDER = b'{"orderId": "o-%d", "userId": "%d", "amountCents": 1}'


pytestmark = pytest.mark.kafka


@asynccontextmanager
async def system_view(servers, topology):
    settings = load_settings(
        kafka_bootstrap_servers=servers, namespace=topology.namespace, pod="view"
    )
    view = SystemView(settings, topology)
    await view.start()
    try:
        yield view
    finally:
        await view.stop()


async def publish(servers, topic, count, first=0):
    producer = RecordProducer(KafkaConnection.plaintext(servers), "tests")
    await producer.start()
    try:
        events = range(first, first + count)
        await producer.send_many(
            [OutRecord(topic, ORDER % (i, i % 7), key=b"%d" % (i % 7)) for i in events]
        )
    finally:
        await producer.stop()


@pytest.fixture
async def topology(kafka, namespace):
    topology = Topology(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)
    return topology


async def test_shows_every_pod_its_lag_and_its_end(kafka, namespace, topology, tmp_path):
    """Reports come while it works; a crash makes it stale, a graceful stop takes it away."""
    orders = topology.topic(ORDER_CREATED).name
    group = topology.service("engine").group
    with workers(tmp_path, kafka, namespace) as start:
        async with system_view(kafka, topology) as view:
            engine = start("engine.1", TRUNKLINE_SERVICE="engine", TRUNKLINE_SESSION_TIMEOUT_S=6)
            shop = start("shop.1", TRUNKLINE_SERVICE="order-service")
            await publish(kafka, orders, 100)
            await engine.wait_assigned(7)

            def told():
                worker = view.workers.get("engine.1")
                return worker and worker.report.total("handled") == 100 and worker.report.ready

            await eventually(told, 30, "the report of 100 handled events")
            await eventually(lambda: view.workers.get("shop.1"), 30, "the publisher's report")
            report = view.workers.get("engine.1").report
            assert report.url == f"http://127.0.0.1:{engine.port}"
            assert {(p.topic, p.partition) for p in report.partitions if p.topic == orders} == {
                (orders, partition) for partition in range(4)
            }
            assert report.last_rebalance.gained
            assert len(view.workers.settings()) == 2

            def lag():
                return next(g.lag for g in view.groups() if g.group == group)

            await eventually(lambda: lag() == 0, 30, "no lag")
            async with system_view(kafka, topology) as late:
                await eventually(lambda: len(late.workers.fresh()) == 2, 30, "what stood there")

            code, _ = await shop.terminate()
            assert code == 0
            await eventually(lambda: not view.workers.get("shop.1"), 30, "the publisher's goodbye")

            engine.kill()
            await publish(kafka, orders, 30, first=100)
            await eventually(lambda: lag() == 30, 30, "the lag of a group without workers")
            await eventually(lambda: not view.workers.fresh(), 30, "the killed pod to be stale")
            await eventually(
                lambda: {"stale", "no-worker"} <= {alarm.kind for alarm in view.alarms()}, 30
            )
            assert view.health()[0] == "failing"
            await eventually(lambda: len(view.history) > 5, 30, "the curves")


async def test_a_worker_works_on_while_its_reports_cannot_be_written(
    kafka, namespace, topology, tmp_path
):
    """Somebody deleted the topic of the reports: the events do not notice."""
    orders = topology.topic(ORDER_CREATED).name
    with workers(tmp_path, kafka, namespace) as start:
        engine = start("engine.1", TRUNKLINE_SERVICE="engine")
        await engine.wait_assigned(7)
        async with admin(kafka) as client:
            await client.delete_topics([topology.workers_topic().name])

        await publish(kafka, orders, 50)

        async def handled():
            return (await engine.stats()).get("handled") == 50

        await eventually(handled, 60, "50 events")
        code, _ = await engine.terminate()
        assert code == 0
