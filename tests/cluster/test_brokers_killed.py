"""``kill -9`` of each broker in turn under load, the controller among them."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.world import replicated
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]


async def test_each_broker_and_the_controller_may_be_killed(world):
    """Nothing acknowledged is lost, workers go on by themselves, and so does the cluster."""
    await world.begin()
    left, cluster = {0, 1, 2}, world.cluster
    while left:
        controller = await active_controller(cluster)
        # First the others, so that the last one is the controller for certain.
        node = min(left - {controller}, default=controller)
        what = "the controller" if node == controller else "a broker"
        async with world.fault(f"kill -9 of {what}"):
            await asyncio.to_thread(cluster.kill, node)
        if node == controller:
            assert await active_controller(cluster) != controller
        left.discard(node)
        await asyncio.to_thread(cluster.restart_node, node)
        await replicated(cluster)
    await world.account()


async def active_controller(cluster):
    """Return the node that is the active controller, as the quorum says."""

    def ask():
        found = cluster.controller()
        return None if found is None else (found,)

    [node] = await eventually(ask, 30, "a controller")
    return node
