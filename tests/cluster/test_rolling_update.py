"""A service is updated pod by pod under load, with static membership."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

#: What is promised for 2 idle cores (docs/upgrading.md), and room for a machine with more to do.
PROMISED_S, ROOM_S = 10.0, 40.0


async def test_a_service_is_updated_pod_by_pod(world):
    """Each pod is stopped and started under its name: no loss, no rebalance, a short pause."""
    world.settings |= {"TRUNKLINE_STATIC_MEMBERSHIP": "1", "TRUNKLINE_SESSION_TIMEOUT_S": "90"}
    await world.begin()
    await world.stage.wait_shared("auth.registered", *world.pods)
    before = [await has(pod) for pod in world.pods]
    for number, pod in enumerate(world.pods, 1):
        async with world.fault(f"update of pod {number} of 2") as update:
            assert await pod.stop() == 0
            pod.start()
            world.note_pids()
            await pod.wait_ready()
        assert update.pause_s() < PROMISED_S + ROOM_S
    assert [await has(pod) for pod in world.pods] == before, "a rebalance moved partitions"
    await world.account()


async def has(pod):
    """Return the partitions that a pod has."""
    return (await pod.stats())["assigned"]
