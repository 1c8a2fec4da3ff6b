"""What one pod says of itself at one moment, in plain topic names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trunkline.topology import Topology


@dataclass(frozen=True)
class Snapshot:
    """One pod's ``/stats``, as far as patterns look at them.

    Attributes:
        pod: Its name.
        handled: Topic to events that it has handled since it started.
        partitions: Topic to the partitions that it has now.
        failed: Events that it handed over, or could not read.
        unfinished: Events that were delivered to its handlers and are not finished.
        rebalances: How often its group took partitions away, the first join counted.

    """

    pod: str
    handled: Mapping[str, int]
    partitions: Mapping[str, frozenset[int]]
    failed: int = 0
    unfinished: int = 0
    rebalances: int = 0

    @classmethod
    def of(cls, stats: Mapping[str, Any], topology: Topology) -> Snapshot:
        """Read it out of ``/stats``."""
        partitions: dict[str, set[int]] = {}
        for row in stats.get("partitions", ()):
            partitions.setdefault(topology.plain_name(row["topic"]), set()).add(row["partition"])
        return cls(
            pod=stats["pod"],
            handled={
                topology.plain_name(topic): counters["handled"]
                for topic, counters in stats.get("topics", {}).items()
            },
            partitions={topic: frozenset(found) for topic, found in partitions.items()},
            failed=stats.get("failed", 0),
            unfinished=sum(row["unfinished"] for row in stats.get("partitions", ())),
            rebalances=stats.get("rebalances", 0),
        )

    def has(self, topic: str) -> frozenset[int]:
        """Return its partitions of a topic."""
        return self.partitions.get(topic, frozenset())
