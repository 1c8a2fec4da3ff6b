"""``kill -9`` of one of two db-server pods in the middle of 50,000 events: the rows are right."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.support.journal import publish
from tests.support.offsets import committed_offsets, end_offsets
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.delivery.producer import OutRecord
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

pytestmark = pytest.mark.kafka

EVENTS = 50_000


async def test_rows_are_exact_when_a_pod_is_killed(kafka, namespace, tmp_path):
    """One row per event, however often the events around the crash were delivered."""
    topology = Topology(namespace)
    topic = topology.real_name(AUTH_REGISTERED)
    group = topology.service("db-server").group
    await apply([kafka], topology)
    with workers(tmp_path, kafka, namespace) as start:
        pods = [start(name, TRUNKLINE_SERVICE="db-server") for name in ("dies", "lives")]
        for pod in pods:
            await pod.wait_ready()
        await eventually(lambda: _shared(pods), 30, "both pods to have partitions")
        await publish(kafka, [_registration(topic, n) for n in range(EVENTS)])
        await eventually(lambda: _handled(pods[0], EVENTS / 10), 60, "work to be under way")
        pods[0].kill()
        assert _rows(tmp_path) < EVENTS, "killed too late"
        ends = await end_offsets(kafka, topic)

        async def all_committed():
            return await committed_offsets(kafka, group, topic) == ends

        await eventually(all_committed, 90, "everything to be committed")
        assert sum(ends.values()) == EVENTS
        assert _rows(tmp_path) == EVENTS


def _registration(topic, number):
    value = b'{"userId": "u-%d", "email": "u-%d@example.com"}' % (number, number)
    return OutRecord(topic, value, key=b"u-%d" % number)


async def _shared(pods):
    return all([(await pod.stats()).get("assigned") for pod in pods])


async def _handled(pod, count):
    return (await pod.stats()).get("handled", 0) > count


def _rows(folder):
    with closing(sqlite3.connect(folder / "data/db-server.sqlite")) as connection:
        return connection.execute("select count(*) from registered_users").fetchone()[0]
