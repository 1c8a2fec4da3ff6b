"""A rebalance that meets a worker which is stopping: it waits for the handlers that still run."""

from __future__ import annotations

import signal

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

EVENTS = 10


async def test_a_stopping_worker_keeps_its_partitions_until_its_handlers_have_ended(
    kafka, namespace, tmp_path
):
    """SIGTERM to one pod, and a new one joins while both old ones are in mid-handler."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(2)
        # The gate alone ends the drain, however long the new pod takes to start.
        options = {"TRUNKLINE_DRAIN_TIMEOUT_S": 60, "TRUNKLINE_SHUTDOWN_TIMEOUT_S": 90}
        stopping, other = group.start("stopping", **options), group.start("other", **options)
        await stopping.wait_assigned(1)
        await other.wait_assigned(1)
        for partition in (0, 1):
            orders = [(f"user-{n}", "ok") for n in range(EVENTS)]
            orders[EVENTS // 2] = ("slow", "gate")
            await group.publish(orders, partition)
        await eventually(lambda: group.count("start") == EVENTS + 2, 30, "both slow ones to run")

        rebalances = (await other.stats())["rebalances"]
        stopping.process.send_signal(signal.SIGTERM)
        group.start("new", **options)
        await eventually(lambda: _has_rebalanced(other, rebalances), 60, "the new pod to join")
        assert stopping.process.poll() is None
        group.gate.touch()
        assert await stopping.wait_for_end() == 0
        await group.wait_handled(2 * EVENTS)
        await group.wait_committed(60)

        assert group.count("cancelled") == 0
        assert set(group.ended().values()) == {1}
        assert len(group.ended()) == 2 * EVENTS


async def _has_rebalanced(pod, before):
    return (await pod.stats()).get("rebalances", 0) > before
