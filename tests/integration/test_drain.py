"""An operator drains a pod: its partitions move, it stays up, and nothing is lost or repeated."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.journal import journal_group, repeated
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.errors import ConfigurationError
from trunkline.system.control import drain, undrain

pytestmark = pytest.mark.kafka


async def test_a_drained_pod_gives_its_partitions_away_and_takes_some_again(
    kafka, namespace, tmp_path
):
    """Under load: drained, resumed, drained again, ended; the session timeout is 40 s."""
    connection = KafkaConnection.plaintext(kafka)
    # A static member, whose partitions Kafka would keep for it.
    options = {
        "POD_OBEYS": 1,
        "POD_SLEEP_MS": 4,
        "TRUNKLINE_STATIC_MEMBERSHIP": "true",
        "TRUNKLINE_SESSION_TIMEOUT_S": 40,
    }
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        first = group.start("pod-1", **options)
        await first.wait_assigned(3)
        second = group.start("pod-2", **options)
        await eventually(lambda: _shares(first, second, [1, 2]), 60, "a share for each")
        enough = asyncio.Event()
        publishing = asyncio.create_task(_publish_until(enough, group))
        topology = group.topology

        assert (await drain(connection, topology, "pod-1", who="a test")).changed

        await eventually(lambda: _shares(first, second, [0, 3]), 60, "all on the second pod")
        drained = 503, {"ready": False, "reason": "drained by an operator"}
        await eventually(lambda: _answers(first, drained), 30, "it to be out of the group")
        assert (await first.get("/health/live"))[0] == 200
        count = group.count("start")
        mine = len(group.entries("pod-1"))
        await eventually(lambda: group.count("start") > count + 300, 30, "the second one's work")
        assert len(group.entries("pod-1")) == mine

        assert (await undrain(connection, topology, "pod-1", who="a test")).changed

        await eventually(lambda: _shares(first, second, [1, 2]), 60, "a share for each, again")
        await eventually(lambda: len(group.entries("pod-1")) > mine + 100, 30, "its work")
        await drain(connection, topology, "pod-1", who="a test")
        await eventually(lambda: _shares(first, second, [0, 3]), 60, "all on the second pod, again")
        code, _ = await first.terminate()
        assert code == 0
        # Another process of the same name is not the one that was meant.
        first = group.start("pod-1", **options)
        await eventually(lambda: _shares(first, second, [1, 2]), 60, "a share of the new process")
        enough.set()
        published = await publishing
        await group.wait_handled(published)
        await group.wait_committed()
        assert len(group.ended()) == published
        assert repeated(group.ended()) == 0
        with pytest.raises(ConfigurationError, match="Did you mean 'pod-"):
            await drain(connection, topology, "pod-3", who="a test")


async def _answers(pod, expected):
    return await pod.get("/health/ready") == expected


async def _shares(first, second, expected):
    stats = [await pod.stats() for pod in (first, second)]
    found = [len(each.get("assigned", "????")) for each in stats]
    return found == expected if expected[0] == 0 else sorted(found) == expected


async def _publish_until(enough, group):
    published = 0
    while not enough.is_set():
        published += await group.publish((f"user-{n % 100}", "ok") for n in range(200))
        await asyncio.sleep(0.3)
    return published
