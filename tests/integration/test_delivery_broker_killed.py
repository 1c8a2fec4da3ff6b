"""The broker is killed and started again under load: nothing is lost, workers recover alone."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.journal import journal_group
from tests.support.offsets import wait_all_committed
from tests.support.rows import count_rows, publish_registrations
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.delivery import failure
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

pytestmark = pytest.mark.kafka

EVENTS = 20_000
#: Kills in the middle of the work that the test needs, and those it may take to get them.
KILLS = 2
ROUNDS = 6


async def test_rows_are_exact_when_the_broker_is_killed(own_broker, namespace, tmp_path):
    """Two db-server pods: one row per event, and the pods go on by themselves, twice."""
    broker = own_broker()
    broker.start()
    servers, topology = broker.bootstrap_servers, Topology(namespace)
    topic = topology.real_name(AUTH_REGISTERED)
    await apply(KafkaConnection.plaintext(servers), topology)
    with workers(tmp_path, servers, namespace) as start:
        pods = [start(name, TRUNKLINE_SERVICE="db-server") for name in ("one", "two")]
        for pod in pods:
            await pod.wait_ready()
        kills = 0
        for round_ in range(ROUNDS):
            stored = round_ * EVENTS
            await publish_registrations(servers, topic, range(stored, stored + EVENTS))
            await eventually(lambda: count_rows(tmp_path) > stored + 500, 60, "work under way")  # noqa: B023  # called at once
            broker.kill()
            kills += count_rows(tmp_path) < stored + EVENTS
            await asyncio.to_thread(broker.start)
            await wait_all_committed(servers, topology.service("db-server").group, topic, 90)
            assert count_rows(tmp_path) == stored + EVENTS
            if kills == KILLS:
                break
        assert kills == KILLS, f"the others of {ROUNDS} kills came when the work was done"
        assert [pod.returncode for pod in pods] == [None, None]
        for pod in pods:
            assert "Traceback" not in pod.output()


async def test_events_that_fail_while_the_broker_is_away_are_handed_over(
    own_broker, namespace, tmp_path
):
    """They wait for the broker, and their offsets with them; other events are handled meanwhile."""
    broker = own_broker()
    broker.start()
    with journal_group(broker.bootstrap_servers, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start()  # one after the other: the gate holds them all up
        await pod.wait_ready()
        orders = [("first", "gate"), *((f"u{n}", "fail") for n in range(20)), ("last", "ok")]
        await group.publish(orders)
        await eventually(lambda: group.count("start") > 0, 30, "the events to arrive")
        broker.kill()
        group.gate.touch()
        await eventually(lambda: group.count("failed") >= 20, 30, "the events to fail")
        await eventually(lambda: "Could not hand over" in pod.output(), 30, "it to say so")
        await asyncio.to_thread(broker.start)
        await group.wait_committed(60)

        failed = {dict(r.headers)[failure.OFFSET] for r in await group.failed()}
        assert failed == {str(n).encode() for n in range(1, 21)}
        assert set(group.ended()) == {(0, 0), (0, 21)}
