"""What stands in the cluster, as far as the topology cares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RETENTION = "retention.ms"
CLEANUP = "cleanup.policy"
MIN_INSYNC = "min.insync.replicas"
MAX_MESSAGE = "max.message.bytes"
SEGMENT = "segment.bytes"

#: The topic settings that the topology declares; all others are the operator's.
CONFIGS = (RETENTION, CLEANUP, MIN_INSYNC, MAX_MESSAGE, SEGMENT)


@dataclass(frozen=True)
class ClusterTopic:
    """One topic as it is.

    Attributes:
        name: Kafka's name for it.
        partitions: How many it has.
        replication_factor: Fewest replicas of any of its partitions.
        configs: Effective value of each of :data:`CONFIGS`, the broker's defaults included.

    """

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterView:
    """One reading of the cluster.

    Attributes:
        brokers: How many are registered, those that are down for the moment included.
        topics: The topics that were asked for and exist, by name.

    """

    brokers: int
    topics: Mapping[str, ClusterTopic] = field(default_factory=dict)


def policies(cleanup_policy: str | None) -> frozenset[str]:
    """Split a ``cleanup.policy``: its order says nothing."""
    return frozenset(part.strip() for part in (cleanup_policy or "").split(",") if part.strip())
