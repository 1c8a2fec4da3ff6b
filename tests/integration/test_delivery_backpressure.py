"""A handler that hangs stops the fetching of its partition, and nothing else."""

from __future__ import annotations

import time

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

MOST = 200
#: The smallest that the settings take; aiokafka leaves a group when nobody polls for that long.
MAX_POLL_INTERVAL_S = 5


async def test_a_full_partition_is_paused_and_keeps_its_pod(kafka, namespace, tmp_path):
    """Bounded memory, the other partition flows, and the pod stays in its group."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(2)
        pod = group.start(
            TRUNKLINE_MAX_UNFINISHED=MOST, TRUNKLINE_MAX_POLL_INTERVAL_S=MAX_POLL_INTERVAL_S
        )
        await pod.wait_assigned(2)
        await group.publish([("stuck", "gate")], partition=0)
        await eventually(lambda: group.count("start") == 1, 30, "the handler to hang")
        # One fetch may bring more than there is room for; a second one is not made.
        for _ in range(10):
            await group.publish([("stuck", "ok")] * MOST, partition=0)
        rebalances = (await pod.stats())["rebalances"]
        until = time.monotonic() + MAX_POLL_INTERVAL_S + 3
        await eventually(lambda: time.monotonic() > until, 60, "longer than the poll interval")
        await group.publish([("flows", "ok")] * 500, partition=1)
        await group.wait_handled(500)

        stats = await pod.stats()
        assert stats["rebalances"] == rebalances
        unfinished = {row["partition"]: row["unfinished"] for row in stats["partitions"]}
        assert unfinished[0] < 10 * MOST
        group.gate.touch()
        await group.wait_handled(500 + 1 + 10 * MOST)
        await group.wait_committed()
        assert set(group.ended().values()) == {1}
        assert (await pod.stats())["rebalances"] == rebalances


async def test_a_pod_whose_partitions_are_all_full_stays_in_its_group(kafka, namespace, tmp_path):
    """Nothing is fetched at all for longer than the poll interval, and nobody is thrown out."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start(
            TRUNKLINE_MAX_UNFINISHED=1, TRUNKLINE_MAX_POLL_INTERVAL_S=MAX_POLL_INTERVAL_S
        )
        await pod.wait_ready()
        await group.publish([("stuck", "gate"), *[("stuck", "ok")] * 20])
        await eventually(lambda: group.count("start") == 1, 30, "the handler to hang")
        rebalances = (await pod.stats())["rebalances"]
        until = time.monotonic() + MAX_POLL_INTERVAL_S + 3
        await eventually(lambda: time.monotonic() > until, 60, "longer than the poll interval")
        group.gate.touch()
        await group.wait_handled(21)
        await group.wait_committed()
        assert set(group.ended().values()) == {1}
        assert (await pod.stats())["rebalances"] == rebalances
