"""A broker dies and its disk with it; the operator gives it an empty one (docs/faults.md)."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.cluster.world import replicated
from trunkline.errors import BrokerError

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

NODE = 2


async def test_a_broker_whose_disk_is_lost_gets_everything_from_the_others(world):
    """It is no broker before its disk is formatted with the cluster's id, and then catches up."""
    await world.begin()
    cluster = world.cluster
    async with world.fault("kill -9 of a broker, its disk lost"):
        await asyncio.to_thread(cluster.kill, NODE)
        shutil.rmtree(cluster.directory / "data" / f"node-{NODE}")
    with pytest.raises(BrokerError):  # Kafka refuses to guess which cluster it was of
        await asyncio.to_thread(cluster.restart_node, NODE)
    async with world.fault("it is back on an empty disk"):
        await asyncio.to_thread(cluster.replace_disk, NODE)
        await asyncio.to_thread(cluster.restart_node, NODE)
        in_sync_s = await replicated(cluster)
    world.lines.append(f"  in sync again {in_sync_s:.1f} s after its start")
    # Now it must be able to stand in for the others.
    async with world.fault("kill -9 of another broker afterwards"):
        await asyncio.to_thread(cluster.kill, 0)
    await asyncio.to_thread(cluster.restart_node, 0)
    await world.account()
