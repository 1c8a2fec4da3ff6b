"""Which broker processes were started: a small JSON file that outlives the command that wrote it.

It tells what *was* started. Whether it still runs is asked of the system, every time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class NodeState:
    """One started process."""

    node: int
    pid: int


@dataclass(frozen=True)
class State:
    """What a start wrote down.

    Attributes:
        cluster_id: Kafka's, as it stands in the data.
        kafka_version: Which release was started.
        port: First port of the cluster.
        nodes: The processes, one per node.

    """

    cluster_id: str
    kafka_version: str
    port: int
    nodes: tuple[NodeState, ...] = ()

    def pid(self, node: int) -> int | None:
        """Return the process that a node was started as."""
        return next((one.pid for one in self.nodes if one.node == node), None)

    def with_pid(self, node: int, pid: int) -> State:
        """Return this state with a node's process put in or replaced."""
        others = [one for one in self.nodes if one.node != node]
        nodes = sorted([*others, NodeState(node, pid)], key=lambda one: one.node)
        return replace(self, nodes=tuple(nodes))


def read_state(path: Path) -> State | None:
    """Return what was written; None when there is no file, or not one of ours."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        nodes = tuple(NodeState(int(one["node"]), int(one["pid"])) for one in raw["nodes"])
        return State(str(raw["cluster_id"]), str(raw["kafka_version"]), int(raw["port"]), nodes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_state(path: Path, state: State) -> None:
    """Write the file whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(asdict(state), indent=2) + "\n", "utf-8")
    unfinished.replace(path)
