"""``kill -9`` of one of two db-server pods in the middle of 50,000 events: the rows are right."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import pytest

from tests.support.offsets import end_offsets, wait_all_committed
from tests.support.rows import count_rows, publish_registrations
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

pytestmark = pytest.mark.kafka

EVENTS = 50_000
LAST = 10_000


async def test_rows_are_exact_when_a_pod_is_killed(kafka, namespace, tmp_path):
    """One row per event, however often the events around the crash were delivered."""
    topology = Topology(namespace)
    topic = topology.real_name(AUTH_REGISTERED)
    group = topology.service("db-server").group
    await apply(KafkaConnection.plaintext(kafka), topology)
    with workers(tmp_path, kafka, namespace) as start:
        # So that what the dead pod has stored comes again.
        options = {"TRUNKLINE_SERVICE": "db-server", "TRUNKLINE_COMMIT_INTERVAL_S": 10}
        pods = [start(name, **options) for name in ("dies", "lives")]
        for pod in pods:
            await pod.wait_ready()
        await eventually(lambda: _shared(pods), 30, "both pods to have partitions")
        await publish_registrations(kafka, topic, range(EVENTS - LAST))
        await eventually(lambda: _handled(pods[0], EVENTS / 10), 60, "work to be under way")
        # However quick they are: no pod writes until one of them is dead.
        with locked(tmp_path):
            pods[0].kill()
            await publish_registrations(kafka, topic, range(EVENTS - LAST, EVENTS))
        await wait_all_committed(kafka, group, topic, 90)
        ends = await end_offsets(kafka, topic)
        assert sum(ends.values()) == EVENTS
        assert count_rows(tmp_path) == EVENTS


@contextmanager
def locked(folder):
    """Keep the pods from writing to their database."""
    path = folder / "data" / "db-server.sqlite"
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def _shared(pods):
    return all([(await pod.stats()).get("assigned") for pod in pods])


async def _handled(pod, count):
    return (await pod.stats()).get("handled", 0) > count
