"""Kafka's storage: formatted once per cluster, and asked how many nodes it was made for."""

from __future__ import annotations

import shutil
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trunkline.broker.config import log4j_properties, render, server_properties
from trunkline.broker.layout import Layout
from trunkline.broker.process import java_command, run
from trunkline.broker.security import read_security, write_privately

#: Jars and Java's flags.
Kafka = tuple[Sequence[Path], Sequence[str]]


def stored_nodes(layout: Layout) -> int:
    """Return for how many nodes there is data; 0 when there is none."""
    return sum(1 for _ in layout.data.glob("node-*/meta.properties"))


def stored_cluster_id(layout: Layout) -> str:
    """Return the id that the data was formatted with: every node that has data knows it."""
    known = next(layout.data.glob("node-*/meta.properties"))
    lines = known.read_text("utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values["cluster.id"].strip()


def write_configuration(layout: Layout, nodes: int, port: int, outside: str = "") -> None:
    """Write what every node is started with."""
    for node in range(nodes):
        properties = server_properties(layout, node, nodes, port, outside)
        write_privately(layout.properties(node), render(properties))
        layout.log4j(node).write_text(render(log4j_properties(layout, node)), "utf-8")


def format_storage(
    layout: Layout, nodes: int, port: int, jars: Sequence[Path], flags: Sequence[str] = ()
) -> None:
    """Format the data of a new cluster: of all its nodes, or of none when this is cut off.

    Raises:
        BrokerError: Kafka's own tool failed.

    """
    shutil.rmtree(layout.unfinished_data, ignore_errors=True)
    cluster_id = _new_cluster_id()
    security = read_security(layout)
    users = security.format_arguments() if security else []

    def format_one(node: int) -> None:
        properties = server_properties(layout, node, nodes, port)
        folder = layout.unfinished_data / f"node-{node}"
        own = properties | {"log.dirs": str(folder)}
        _format(layout, node, own, [cluster_id, *users], (jars, flags))

    with ThreadPoolExecutor(nodes) as pool:
        list(pool.map(format_one, range(nodes)))
    layout.unfinished_data.rename(layout.data)


def format_node(layout: Layout, node: int, nodes: int, port: int, kafka: Kafka) -> None:
    """Format an empty disk for one node of a cluster whose other nodes have their data.

    Raises:
        BrokerError: Kafka's own tool failed.

    """
    shutil.rmtree(layout.node_data(node), ignore_errors=True)
    properties = server_properties(layout, node, nodes, port)
    security = read_security(layout)
    users = security.format_arguments() if security else []
    _format(layout, node, properties, [stored_cluster_id(layout), *users], kafka)


def _format(
    layout: Layout,
    node: int,
    properties: dict[str, str],
    cluster_and_users: Sequence[str],
    kafka: Kafka,
) -> None:
    jars, flags = kafka
    path = layout.conf / f"format-{node}.properties"
    write_privately(path, render(properties))
    arguments = ["format", "--config", str(path), "--cluster-id", *cluster_and_users]
    tool, log4j = "kafka.tools.StorageTool", layout.log4j(node)
    command = java_command(jars, tool, *arguments, log4j=log4j, flags=flags)
    run(command, f"Formatting the data of node {node} in {layout.data}")
    path.unlink()


def _new_cluster_id() -> str:
    """Return 16 random bytes as Kafka writes them; it takes none that begins with a dash."""
    while True:
        text = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text
