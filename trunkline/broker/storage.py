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


def stored_nodes(layout: Layout) -> int:
    """Return for how many nodes there is data; 0 when there is none."""
    return sum(1 for _ in layout.data.glob("node-*/meta.properties"))


def stored_cluster_id(layout: Layout) -> str:
    """Return the id that the data was formatted with."""
    lines = (layout.node_data(0) / "meta.properties").read_text("utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values["cluster.id"].strip()


def write_configuration(layout: Layout, nodes: int, port: int) -> None:
    """Write what every node is started with."""
    for node in range(nodes):
        properties = server_properties(layout, node, nodes, port)
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
        properties["log.dirs"] = str(layout.unfinished_data / f"node-{node}")
        path = layout.conf / f"format-{node}.properties"
        write_privately(path, render(properties))
        arguments = ["format", "--cluster-id", cluster_id, "--config", str(path), *users]
        tool, log4j = "kafka.tools.StorageTool", layout.log4j(node)
        command = java_command(jars, tool, *arguments, log4j=log4j, flags=flags)
        run(command, f"Formatting the data of node {node} in {layout.data}")
        path.unlink()

    with ThreadPoolExecutor(nodes) as pool:
        list(pool.map(format_one, range(nodes)))
    layout.unfinished_data.rename(layout.data)


def _new_cluster_id() -> str:
    """Return 16 random bytes as Kafka writes them; it takes none that begins with a dash."""
    while True:
        text = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text
