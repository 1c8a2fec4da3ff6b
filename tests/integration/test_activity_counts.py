"""The activity-processor's table: counted once, and still there after a stop, a kill and growth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.journal import publish
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord
from trunkline.topics import apply
from trunkline.topology import TOPICS, USER_ACTIVITY, Topology

pytestmark = pytest.mark.kafka

EACH = 3_000


async def test_counts_survive_a_stop_and_a_kill(kafka, namespace, tmp_path):
    """A worker that starts anew recovers the counts from the changelog, and adds to them."""
    await apply(KafkaConnection.plaintext(kafka), Topology(namespace))
    with workers(tmp_path, kafka, namespace) as start:
        pod = await _started(start)
        await _publish(kafka, namespace)
        await _wait_counted(pod, EACH)
        code, _ = await pod.terminate()
        assert code == 0, pod.tail()

        pod = await _started(start)
        assert await _counted(pod) == EACH
        await _publish(kafka, namespace)
        await eventually(lambda: _began(pod), 30, "work to be under way")
        pod.kill()
        pod = await _started(start)
        await _wait_counted(pod, 2 * EACH)
        assert "Error in recovery" not in pod.output()


async def test_counts_go_on_when_partitions_are_added(kafka, namespace, tmp_path):
    """Topic and changelog grow while the worker runs; nothing is lost or counted twice."""
    await apply(KafkaConnection.plaintext(kafka), Topology(namespace))
    with workers(tmp_path, kafka, namespace) as start:
        pod = await _started(start)
        await _publish(kafka, namespace)
        await _wait_counted(pod, EACH)
        await apply(KafkaConnection.plaintext(kafka), _grown(namespace), grow=True)
        await pod.wait_assigned(5)
        await _publish(kafka, namespace)
        await _wait_counted(pod, 2 * EACH)


async def _started(start):
    pod = start("pod", TRUNKLINE_SERVICE="activity-processor")
    await pod.wait_ready()
    return pod


async def _publish(kafka, namespace):
    topic = Topology(namespace).topic(USER_ACTIVITY).name
    value = b'{"event": "page_view", "userId": "u"}'
    await publish(kafka, [OutRecord(topic, value, key=b"u-%d" % n) for n in range(EACH)])


async def _began(pod):
    return (await pod.stats()).get("handled", 0) > 0


async def _counted(pod):
    return sum(row["count"] for row in (await pod.stats()).get("activity", ()))


async def _wait_counted(pod, count):
    async def done():
        stats = await pod.stats()
        return stats.get("lag") == 0 and await _counted(pod) == count

    await eventually(done, 60, f"{count} counted events of {pod.name}, see {pod.log}")


def _grown(namespace):
    topics = [replace(t, partitions=5) if t.name == USER_ACTIVITY else t for t in TOPICS]
    return Topology(namespace, declared_topics=tuple(topics))
