"""What the topology wants of a cluster, less what is there: pure, nothing is asked or changed.

The rules: a topic that is missing is created; settings are set back; partitions are only added,
and only on request; nothing is deleted, shrunk or moved between brokers.
"""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.topics.difference import (
    PARTITIONS,
    REPLICATION,
    Action,
    Difference,
    Plan,
    TopicPlan,
)
from trunkline.topics.view import (
    CLEANUP,
    MAX_MESSAGE,
    MIN_INSYNC,
    RETENTION,
    SEGMENT,
    ClusterTopic,
    ClusterView,
    policies,
)
from trunkline.topology import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, Topic, Topology


def plan_topics(topology: Topology, view: ClusterView, *, grow: bool = False) -> Plan:
    """Compare every declared topic with the cluster.

    Args:
        topology: What is declared.
        view: What is there.
        grow: Whether partitions will be added: a changelog that is missing is then made for the
            partitions that its source topic is going to have, not for those that it has.

    """
    declared = {topic.name: topic for topic in topology.topics()}
    return Plan(
        view.brokers,
        tuple(_plan_topic(topic, declared, view, grow=grow) for topic in declared.values()),
    )


def _plan_topic(
    topic: Topic, declared: dict[str, Topic], view: ClusterView, *, grow: bool
) -> TopicPlan:
    actual = view.topics.get(topic.name)
    partitions = _wanted_partitions(topic, declared, view)
    copies = REPLICATION_FACTOR if view.brokers >= REPLICATION_FACTOR else 1
    if actual is None:
        source = view.topics.get(topic.same_partitions_as or "")
        if source and not grow:
            partitions = source.partitions
        return TopicPlan(
            topic.name,
            partitions,
            copies,
            wanted_configs(topic, copies),
            topic.same_partitions_as,
            "create",
        )
    configs = wanted_configs(topic, actual.replication_factor)
    differences = (
        *_compare_partitions(topic, actual, partitions),
        *_compare_replication(actual, copies),
        *_compare_configs(actual, configs),
    )
    return TopicPlan(
        topic.name,
        max(partitions, actual.partitions),
        actual.replication_factor,
        configs,
        topic.same_partitions_as,
        "alter" if differences else "none",
        differences,
    )


def wanted_configs(topic: Topic, replication_factor: int) -> dict[str, str]:
    """Return Kafka's topic settings as the topology wants them.

    ``min.insync.replicas`` goes by the copies that the topic really has: with one copy and a
    minimum of two, every write with acks=all would be refused.
    """
    enough_copies = replication_factor >= REPLICATION_FACTOR
    configs = {
        RETENTION: str(topic.retention_ms),
        CLEANUP: topic.cleanup_policy,
        MIN_INSYNC: str(MIN_INSYNC_REPLICAS if enough_copies else 1),
        MAX_MESSAGE: str(topic.max_message_bytes),
    }
    return configs | ({SEGMENT: str(topic.segment_bytes)} if topic.segment_bytes else {})


def _wanted_partitions(topic: Topic, declared: dict[str, Topic], view: ClusterView) -> int:
    """A follower goes by its source: what is declared of it, or more if somebody grew it."""
    source = declared.get(topic.same_partitions_as or "")
    if source is None:
        return topic.partitions
    actual = view.topics.get(source.name)
    return max(source.partitions, actual.partitions if actual else 0)


def _compare_partitions(topic: Topic, actual: ClusterTopic, wanted: int) -> Iterable[Difference]:
    if actual.partitions == wanted:
        return
    action: Action = "grow"
    note = ""
    if actual.partitions > wanted and topic.same_partitions_as:
        action = "refuse"
        note = (
            f"a changelog needs as many partitions as {topic.same_partitions_as}, and Kafka "
            f"cannot take any away: grow {topic.same_partitions_as}, or delete the changelog if "
            "its table may be lost"
        )
    elif actual.partitions > wanted:
        action = "keep"
        note = "more than declared; kept, for Kafka cannot take partitions away"
    yield Difference(PARTITIONS, str(actual.partitions), str(wanted), action, note)


def _compare_replication(actual: ClusterTopic, wanted: int) -> Iterable[Difference]:
    if actual.replication_factor < wanted:
        note = "move its replicas with kafka-reassign-partitions; Trunkline does not"
        yield Difference(REPLICATION, str(actual.replication_factor), str(wanted), "reassign", note)


def _compare_configs(actual: ClusterTopic, wanted: dict[str, str]) -> Iterable[Difference]:
    for name, value in wanted.items():
        is_now = actual.configs.get(name, "")
        if not config_fits(name, is_now, value):
            yield Difference(name, is_now, value, "alter")


def config_fits(name: str, actual: str, wanted: str) -> bool:
    """Whether a setting is as declared; a larger ``max.message.bytes`` does no harm."""
    if name == CLEANUP:
        return policies(actual) == policies(wanted)
    if name == MAX_MESSAGE:
        return actual.isdigit() and int(actual) >= int(wanted)
    return actual == wanted
