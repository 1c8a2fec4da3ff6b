"""The cluster is restarted under load, one broker after the other, as an upgrade does it."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.world import replicated

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]


async def test_the_cluster_may_be_restarted_broker_by_broker(world):
    """Each broker is stopped, started, and in sync again before the next one."""
    await world.begin()
    for node in range(3):
        async with world.fault(f"restart of broker {node + 1} of 3"):
            await asyncio.to_thread(world.cluster.restart_node, node)
            await replicated(world.cluster)
    await world.account()
