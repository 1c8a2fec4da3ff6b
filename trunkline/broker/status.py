"""What the embedded broker looks like right now."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.broker.layout import Layout
from trunkline.broker.metadata import ask
from trunkline.broker.ports import HOST, client_port, controller_port
from trunkline.broker.process import is_running, memory_bytes
from trunkline.broker.security import read_security
from trunkline.broker.state import read_state
from trunkline.broker.storage import stored_cluster_id


@dataclass(frozen=True)
class NodeStatus:
    """One node.

    Attributes:
        node: Its Kafka node id.
        listens: ``host:port`` for clients.
        controller: ``host:port`` for the cluster's controllers.
        pid: Its process; None when it does not run.
        ready: Whether it answers, and is registered with the cluster.
        memory_bytes: Resident memory of the process.

    """

    node: int
    listens: str
    controller: str
    pid: int | None
    ready: bool
    memory_bytes: int


@dataclass(frozen=True)
class BrokerStatus:
    """All nodes of one broker folder.

    Attributes:
        running: Whether all nodes run and are ready.
        directory: The broker's folder.
        bootstrap_servers: Where clients connect, ``host:port[,host:port…]``.
        cluster_id: Kafka's id of the cluster; empty when there is no data yet.
        kafka_version: Release that was started; empty when nothing was.
        topics: How many there are, Kafka's own included; 0 when no node answers.
        nodes: One by one; none when there is no data.

    """

    running: bool
    directory: str
    bootstrap_servers: str
    cluster_id: str
    kafka_version: str
    topics: int
    nodes: tuple[NodeStatus, ...]


def describe(layout: Layout, port: int, stored: int) -> BrokerStatus:
    """Ask the system and Kafka about every node.

    Args:
        layout: The broker's folder.
        port: First port, where no start wrote down another.
        stored: For how many nodes there is data.

    """
    state = read_state(layout.state)
    port = state.port if state else port
    security = read_security(layout)
    views = [ask(client_port(port, node), security) for node in range(stored)] if state else []
    nodes = []
    for node in range(stored):
        pid = state.pid(node) if state else None
        pid = pid if is_running(pid, layout.properties(node)) else None
        view = views[node] if views else None
        nodes.append(
            NodeStatus(
                node=node,
                listens=f"{HOST}:{client_port(port, node)}",
                controller=f"{HOST}:{controller_port(port, node)}",
                pid=pid,
                ready=bool(pid and view and node in view.brokers),
                memory_bytes=memory_bytes(pid) if pid else 0,
            )
        )
    return BrokerStatus(
        running=bool(nodes) and all(one.ready for one in nodes),
        directory=str(layout.directory),
        bootstrap_servers=",".join(one.listens for one in nodes),
        cluster_id=stored_cluster_id(layout) if stored else "",
        kafka_version=state.kafka_version if state else "",
        topics=max((view.topics for view in views if view), default=0),
        nodes=tuple(nodes),
    )
