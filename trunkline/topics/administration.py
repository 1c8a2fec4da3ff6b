"""Plan, apply and check: the topology and a live cluster brought together."""

from __future__ import annotations

import asyncio
import time

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, TopologyError
from trunkline.topics.cluster import Cluster
from trunkline.topics.comparison import plan_topics
from trunkline.topics.difference import Plan, TopicPlan
from trunkline.topics.requirements import check_for_service
from trunkline.topics.view import ClusterView
from trunkline.topology import Topology

#: How long a change may take until every broker knows it.
SETTLE_TIMEOUT_S = 20.0
_PAUSE_S = 0.05


async def read_topics(connection: KafkaConnection, topology: Topology) -> ClusterView:
    """Read the declared topics from the cluster.

    Raises:
        BrokerError: No broker answers within a few seconds.

    """
    async with Cluster(connection) as cluster:
        return await cluster.read(_names(topology))


async def plan(connection: KafkaConnection, topology: Topology) -> Plan:
    """Compare the topology with the cluster; nothing is changed.

    Raises:
        BrokerError: No broker answers within a few seconds.

    """
    return plan_topics(topology, await read_topics(connection, topology))


async def apply(
    connection: KafkaConnection, topology: Topology, *, grow: bool = False, brokers: int = 1
) -> Plan:
    """Create what is missing, set settings back and, on request, add partitions.

    Never shrinks, deletes or moves anything, may be repeated, and may run in several processes at
    once: what was done is known by reading it back. On return every broker that is up knows it.

    Args:
        connection: How to reach Kafka.
        topology: What is declared.
        grow: Whether to add the partitions that are declared and missing.
        brokers: With fewer in the cluster nothing is done.

    Returns:
        The plan as it was at first, with what has been done marked as done.

    Raises:
        BrokerError: No broker answers within a few seconds, or there are too few.
        TopologyError: Kafka refuses a change, or does not show it in time.

    """
    async with Cluster(connection) as cluster:
        view = await cluster.read(_names(topology))
        if view.brokers < brokers:
            text = f"Of {brokers} brokers (--brokers) {view.brokers} have joined the cluster"
            raise BrokerError(f"{text}. Start the others, or ask for fewer.")
        first = now = plan_topics(topology, view, grow=grow)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while steps := now.steps(grow=grow):
            if time.monotonic() > deadline:
                raise TopologyError(_not_settled(steps))
            await _take(cluster, steps, grow=grow)
            now = await _read_least(cluster, topology, grow=grow)
            if now.steps(grow=grow):
                await asyncio.sleep(_PAUSE_S)  # the brokers hear of a change one after the other
        return first.compared_with(now)


async def check_service_topics(
    connection: KafkaConnection, topology: Topology, service_name: str
) -> None:
    """Check that the cluster has what a service needs; a worker does so before it starts.

    Raises:
        BrokerError: No broker answers within a few seconds.
        ConfigurationError: No service has this name.
        TopologyError: A topic does not fit; the message lists all that is wrong, and the command
            that mends it.

    """
    service = topology.service(service_name)
    names = [topic.name for topic in topology.topics_of(service_name)]
    async with Cluster(connection) as cluster:
        check_for_service(await cluster.read(names), topology, service)


async def _take(cluster: Cluster, steps: list[TopicPlan], *, grow: bool) -> None:
    if missing := [topic for topic in steps if topic.action == "create"]:
        await cluster.create(missing)
    if altered := [topic for topic in steps if topic.altered_configs]:
        await cluster.set_configs(altered)
    growing = [topic for topic in steps if topic.grows] if grow else []
    # Changelogs first: a worker that is running must never see its source topic ahead of them.
    for group in ([t for t in growing if t.follows], [t for t in growing if not t.follows]):
        if group:
            await cluster.grow(group)


async def _read_least(cluster: Cluster, topology: Topology, *, grow: bool) -> Plan:
    """Return the plan of the broker that knows least of the changes so far."""
    views = await cluster.read_everywhere(_names(topology))
    plans = [plan_topics(topology, view, grow=grow) for view in views]
    return max(plans, key=lambda candidate: len(candidate.steps(grow=grow)))


def _names(topology: Topology) -> list[str]:
    return [topic.name for topic in topology.topics()]


def _not_settled(steps: list[TopicPlan]) -> str:
    names = ", ".join(topic.name for topic in steps)
    return (
        f"Kafka took the changes but does not show them after {SETTLE_TIMEOUT_S:g} s: {names}. "
        "Look at the controller's log, then run again: trunkline topics apply"
    )
