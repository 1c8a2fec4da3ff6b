"""The console while Kafka is away: every page says so, and what is unknown is not absent."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.reports import record, report
from trunkline.console import Console, ConsoleContext
from trunkline.settings import load_settings
from trunkline.system.brokers import BrokersView, Place
from trunkline.system.view import SystemView
from trunkline.topology import Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.guard import secure

ORDERS = "order.created"
WHY = "Kafka at k:9092 does not answer: refused"


class View(SystemView):
    """A view that reads what the test gives it."""

    def situation(self):
        return replace(super().situation(), reading=True)


@pytest.fixture
def view():
    """One pod of the engine, which was heard of a minute ago, as were the brokers."""
    made = View(load_settings(), Topology())
    at_s = time.time() - 60
    made.workers.take(record(report("engine.1", at_s=at_s)))
    places = {(ORDERS, 0): Place(0, 100, 60)}
    made._brokers.view = BrokersView(at_s, {"engine-group": places}, {(ORDERS, 0): 100}, error=WHY)
    return made


@pytest.fixture
async def client(view):
    settings = load_settings()
    access = Access(settings)
    console = Console(ConsoleContext(settings, view.topology, access, view=view))
    application = web.Application()
    secure(application, access)
    application.add_routes(console.routes())
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["services", "topics", "retries", "dead-letters", "topology", "tables", "audit"]
)
async def test_every_page_says_so(client, path):
    """Also one that cannot be shown for want of something else."""
    html = await (await client.get(f"/console/{path}")).text()
    assert 'id="kafka-away"' in html
    assert WHY in html


async def test_there_is_no_banner_while_kafka_answers(client, view):
    """Nor one beside the Overview's own line."""
    assert 'id="kafka-away"' not in await (await client.get("/console/overview")).text()
    view._brokers.view = replace(view.brokers, at_s=time.time(), error="")
    for path in ("services", "topology"):
        assert "Kafka is away" not in await (await client.get(f"/console/{path}")).text()


@pytest.mark.parametrize("path", ["overview", "services", "topology", "tables"])
async def test_pods_are_unknown_then_not_absent(client, view, path):
    """Who cannot be heard may well run."""
    absent = ("no worker", "no pod", "nobody</span>", "silent")
    html = await (await client.get(f"/console/{path}")).text()
    assert "unknown" in html
    assert not [word for word in absent if word in html]
    view._brokers.view = replace(view.brokers, at_s=time.time(), error="")
    html = await (await client.get(f"/console/{path}")).text()
    assert [word for word in absent if word in html]


async def test_a_service_of_a_newer_release_has_its_pods_on_the_page(client, view):
    """With what it means, and names that others wrote as text."""
    view._brokers.view = replace(view.brokers, at_s=time.time(), error="")
    name = "<b>new</b>"
    view.workers.take(record(report("new.1", at_s=time.time(), service=name, group=None)))
    html = await (await client.get("/console/services")).text()
    assert 'id="new.1"' in html
    assert "not in this release" in html
    assert name not in html


async def test_the_overview_tells_alarms_from_notes(client, view):
    """What an operator did, or has not done yet, is no alarm."""
    now_s = time.time()
    view._brokers.view = replace(view.brokers, at_s=now_s, error="")
    view.workers.take(record(report("engine.1", at_s=now_s + 1, state="drained", live=False)))
    html = await (await client.get("/console/overview")).text()
    alarms, notes = html.index('id="alarms-title"'), html.index('id="notes-title"')
    assert alarms < html.index("engine.1 is stuck", alarms) < notes
    assert html.index("engine.1 is drained", notes)
