"""What the system's pages show, made from reports and a reading of the brokers: no Kafka."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.support.reports import counted, record, report
from trunkline.console.pages.system.flows import flows_of
from trunkline.console.pages.system.overview import overview_of
from trunkline.console.pages.system.picture import draw
from trunkline.console.pages.system.services import ServicesQuery, in_short, services_of
from trunkline.console.pages.system.settings import SettingsQuery, settings_of
from trunkline.console.pages.system.tables import tables_of
from trunkline.settings import Settings
from trunkline.system.alarms import alarms
from trunkline.system.brokers import BrokersView, Place
from trunkline.system.orders import Order, PauseKey
from trunkline.system.report import PartitionReport, RetriesReport, SettingsReport
from trunkline.system.view import SystemView
from trunkline.topology import Topology

ORDERS = "order.created"


@pytest.fixture
async def view():
    """A view that has read the reports of two pods of the engine and asked the brokers."""
    made = SystemView(Settings(), Topology())
    now = time.time()
    for pod, partition in (("engine.1", 0), ("engine.2", 1)):
        for at_s, handled in ((now - 2, 10), (now, 30)):
            said = report(
                pod,
                at_s=at_s,
                topics=counted(handled=handled),
                partitions=[PartitionReport(topic=ORDERS, partition=partition, position=5, lag=9)],
                retries=RetriesReport(waiting=2, parked=1, partitions=[{"open": True}]),
            )
            made.workers.take(record(said))
    ends = {(ORDERS, partition): 100 for partition in range(4)}
    places = {place: Place(0, 100, 60) for place in ends}
    made._brokers.view = BrokersView(now, {"engine-group": places}, ends, dict.fromkeys(ends, 0), 1)
    return made


async def test_services_show_who_has_which_partition(view):
    """And which nobody has; the lag is the brokers'."""
    view.orders.pauses[PauseKey("engine-group", ORDERS, 1)] = Order(who="a test", at_ms=1)

    (engine,) = services_of(view, ServicesQuery(group="engine-group"))

    (orders,) = [topic for topic in engine.topics if topic.topic == ORDERS]
    assert [row.pod for row in orders.partitions] == ["engine.1", "engine.2", None, None]
    assert [row.lag for row in orders.partitions] == [40] * 4
    assert [row.paused for row in orders.partitions] == ["", "partition", "", ""]
    assert [pod.report.pod for pod in engine.pods] == ["engine.1", "engine.2"]
    assert engine.pods[0].handled_per_s == 10
    assert services_of(view, ServicesQuery(pod="engine.3")) == []


def test_partitions_are_written_in_short():
    """By topic, in order, without the namespace."""
    moved = ["shop.order.created[3]", "shop.order.created[0]", "shop.dlq.order.created[1]"]

    assert in_short(Topology("shop"), moved) == ["dlq.order.created[1]", "order.created[0, 3]"]


async def test_a_service_without_pods_is_shown(view):
    """One that nobody started is as worth seeing as one that runs."""
    (dlq,) = services_of(view, ServicesQuery(service="dlq"))

    assert dlq.pods == []
    assert dlq.declared_pods == 1


async def test_pods_of_a_service_that_is_not_in_the_topology_are_shown(view):
    """A newer release has it, and this console was not restarted; the Overview notes that."""
    said = report("pricing.1", at_s=time.time(), service="pricing", group="pricing-group")
    view.workers.take(record(said))

    *_, last = services_of(view, ServicesQuery())

    assert (last.service, last.group, last.known) == ("pricing", "pricing-group", False)
    assert [pod.report.pod for pod in last.pods] == ["pricing.1"]
    assert services_of(view, ServicesQuery(group="pricing-group")) == [last]
    assert last not in services_of(view, ServicesQuery(service="engine"))
    notes = [a for a in alarms(replace(view.situation(), reading=True)) if a.severity == "info"]
    assert [(note.kind, note.subject) for note in notes] == [("unknown-service", "pricing")]


async def test_the_overview_sums_up(view):
    """Groups with their pods, lag and rates."""
    answer = overview_of(view)

    (engine,) = [group for group in answer.groups if group.group == "engine-group"]
    assert (engine.pods, engine.lag, engine.handled_per_s, engine.waiting) == (2, 160, 20, 4)
    assert answer.pods == 2
    assert answer.health.state == "degraded"  # nothing was read from Kafka


async def test_every_flow_of_the_topology_is_drawn(view):
    """From the publishers to the index of dead letters; every line has both its ends."""
    flows = flows_of(view)
    picture = draw(flows)

    names = {node.name for node in flows.nodes}
    for service in view.topology.services:
        assert service.name in names or service.name == "console"
    assert {t.name for t in view.topology.declared_topics} <= names
    ids = {node.id for node in flows.nodes}
    assert {e.source for e in flows.edges} | {e.target for e in flows.edges} <= ids
    assert len(picture.lines) == len(flows.edges)
    assert len(picture.boxes) == len(flows.nodes)
    (engine,) = [node for node in flows.nodes if node.id == "service:engine"]
    assert engine.rate_per_s == 20
    assert "lag 160" in engine.note


async def test_no_two_boxes_of_the_picture_overlap(view):
    """Nor leave it."""
    picture = draw(flows_of(view))

    for box in picture.boxes:
        assert 0 <= box.x <= box.x + box.width <= picture.width
        assert 0 <= box.y <= box.y + box.height <= picture.height
        for other in picture.boxes:
            apart = other.y >= box.y + box.height or box.y >= other.y + other.height
            assert other is box or other.x != box.x or apart


async def test_tables_sum_up_what_the_pods_have(view):
    """For each group, also those without pods."""
    answer = tables_of(view)

    by_group = {table.group: table for table in answer.retries}
    engine = by_group["engine-group"]
    assert (engine.waiting, engine.parked, engine.open_partitions, engine.pods) == (4, 2, 2, 2)
    assert by_group["activity-group"].pods == 0


def test_settings_of_pods_that_differ_are_marked():
    """Side by side; a pod's own name is no difference."""

    def told(pod, **values):
        return SettingsReport(
            service="engine",
            pod=pod,
            incarnation="x",
            at_ms=1,
            values={"TRUNKLINE_POD": pod, "A": 1, "B": 2, **values},
            changed=["TRUNKLINE_POD", "A"],
        )

    (engine,) = settings_of([told("engine.1"), told("engine.2", A=5)], SettingsQuery())

    rows = {row.name: row for row in engine.rows}
    assert rows["A"].differs
    assert [(value.value, value.pods) for value in rows["A"].values] == [
        (1, ["engine.1"]),
        (5, ["engine.2"]),
    ]
    assert not rows["TRUNKLINE_POD"].differs
    assert "B" not in rows
    (engine,) = settings_of([told("engine.1")], SettingsQuery(name="b", all=True))
    assert [row.name for row in engine.rows] == ["B"]
