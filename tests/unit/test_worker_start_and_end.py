"""A worker loses no second in stock Faust's sleeps, and cuts nothing off for that."""

from __future__ import annotations

import asyncio

import faust
import pytest

from trunkline.delivery import app as ours
from trunkline.delivery import worker
from trunkline.delivery.faust_internals import BatchTopic
from trunkline.delivery.faust_tables import TableManager
from trunkline.delivery.worker import DeliveryWorker


class Manager(TableManager):
    """Notes what it is told to do."""

    def __init__(self, changelogs=(), *, stock_agents=False, stops=False):
        self._changelogs = dict.fromkeys(changelogs)
        self.app = type("App", (), {"has_stock_agents": stock_agents})
        self.did = []
        self.stops = stops

    @property
    def recovery(self):
        return self

    async def sleep(self, seconds):
        self.did.append(seconds)

    async def _update_channels(self):
        self.did.append("registered")

    async def start(self):
        self.did.append("recovery")

    @property
    def should_stop(self):
        return self.stops


@pytest.mark.parametrize(
    ("manager", "did"),
    [
        (Manager(), ["registered", "recovery"]),
        (Manager(["c"]), [1.0, "registered", "recovery"]),
        (Manager(stock_agents=True), [1.0, "registered", "recovery"]),
        (Manager(stops=True), ["registered"]),
    ],
    ids=["ours", "a table of Faust's", "a stock agent", "stopped meanwhile"],
)
async def test_only_what_faust_recovers_or_reads_itself_is_waited_for(manager, did):
    await manager.on_start()
    assert manager.did == did


@pytest.mark.parametrize(("kind", "is_stock"), [(BatchTopic, False), (None, True)])
def test_an_agent_on_a_topic_that_is_not_ours_is_a_stock_agent(kind, is_stock):
    app = faust.App("a")
    app.agent(app.channel(), name="on a channel")(lambda _: None)
    app.agent(kind(app, topics=["t"]) if kind else app.topic("t"), name="x")(lambda _: None)
    assert ours.DeliveryApp.has_stock_agents.fget(app) is is_stock


async def test_tasks_that_clean_up_are_waited_for_and_those_that_they_start():
    ended = []

    async def clean_up(name, then=None):
        await asyncio.sleep(0.02)
        ended.append(name)
        if then:
            started.append(asyncio.create_task(clean_up(then)))

    started = [asyncio.create_task(clean_up("first", "second"))]
    await DeliveryWorker._sentinel_task(None)
    assert ended == ["first", "second"]


async def test_a_task_that_does_not_end_is_left_behind(monkeypatch):
    monkeypatch.setattr(worker, "_LAST_TASKS_S", 0.05)
    endless = asyncio.create_task(asyncio.Event().wait())
    await asyncio.wait_for(DeliveryWorker._sentinel_task(None), 5)
    assert not endless.done()
    endless.cancel()
