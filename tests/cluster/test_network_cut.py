"""The network between a pod and the brokers is cut, so that packets vanish and nobody is told."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.world import SESSION_S, SETTINGS
from tests.support.network import Network
from tests.support.waiting import eventually
from trunkline.broker.ports import outside_port
from trunkline.verifying.workers import WorkerError, WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]


async def test_a_pod_without_network_is_replaced_and_comes_back(world):
    """The other pod takes its partitions over; it takes its share again when packets flow."""
    network = Network(world.cluster.port)
    assert network.up(), (
        "No network namespace can be made, which this test is about: run it as root, with iproute2 "
        "(scripts/ci/packages), where 'ip netns add' is allowed."
    )
    network.plug()
    inside = pod_inside(world, network)
    world.pods.append(world.stage.adopt(inside))
    try:
        await world.begin()
        await world.stage.wait_shared("auth.registered", *world.pods)
        async with world.fault("network of a pod cut for longer than its session"):
            network.pull()
            other = world.pods[1]
            await eventually(lambda: has_all(other), SESSION_S + 60, "the other pod to take over")
            await world.flows()
            network.plug()
        await eventually(lambda: has_some(inside), 120, "the pod to have a share again")
        async with world.fault("network of a pod cut for a moment"):
            network.pull()
            await asyncio.sleep(SESSION_S / 3)
            network.plug()
        await world.account()
    finally:
        network.plug()


def pod_inside(world, network):
    """Return a pod of db-server that lives in the namespace."""
    port, nodes = world.cluster.port, range(world.cluster.nodes)
    return WorkerProcess(
        "db-server",
        servers=",".join(f"{network.host}:{outside_port(port, node)}" for node in nodes),
        namespace=world.stage.topology.namespace,
        directory=world.folder,
        pod="db-server-inside",
        env=SETTINGS,
        wrapper=network.wrapper,
        host=network.pod,
    )


async def has_all(pod):
    """Tell whether a pod has every partition."""
    return await count(pod) == 3


async def has_some(pod):
    """Tell whether a pod has a partition."""
    return await count(pod) > 0


async def count(pod):
    """Return how many partitions a pod has; none while it does not answer."""
    try:
        return len((await pod.stats())["assigned"])
    except WorkerError:
        return 0
