"""What the topology wants of a cluster, less what is there: pure, nothing is asked or changed.

The rules: a topic that is missing is created; settings are set back; partitions are only added,
and only on request; nothing is deleted, shrunk or moved between brokers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from trunkline.topics.view import (
    CLEANUP,
    MAX_MESSAGE,
    MIN_INSYNC,
    RETENTION,
    ClusterTopic,
    ClusterView,
    policies,
)
from trunkline.topology import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, Topic, Topology

PARTITIONS = "partitions"
REPLICATION = "replication.factor"

#: ``alter`` is done by apply, ``grow`` on request; ``reassign`` is the operator's to do; ``refuse``
#: cannot be done at all; ``keep`` is more than was declared, and welcome.
Action = Literal["alter", "grow", "reassign", "refuse", "keep"]


@dataclass(frozen=True)
class Difference:
    """One property of an existing topic that is not as declared.

    Attributes:
        property: Kafka's name of it, ``partitions`` or ``replication.factor``.
        actual: What the cluster has.
        wanted: What the topology declares.
        note: What that means, for the reader; empty where it needs no words.
        done: Whether ``apply`` made it so, seen by reading it back.

    """

    property: str
    actual: str
    wanted: str
    action: Action
    note: str = ""
    done: bool = False


@dataclass(frozen=True)
class TopicPlan:
    """One topic: how it should be, and what that takes.

    Attributes:
        name: Kafka's name for it.
        partitions: How many it is to have; for an existing topic that has more, those it has.
        configs: Kafka's topic settings as they should be.
        follows: Name of the topic whose partition count it must have.
        action: ``create``, ``alter`` when anything differs, else ``none``.
        created: Whether ``apply`` created it, seen by reading it back.

    """

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]
    follows: str | None = None
    action: Literal["create", "alter", "none"] = "none"
    differences: tuple[Difference, ...] = ()
    created: bool = False

    @property
    def grows(self) -> bool:
        """Whether partitions are to be added."""
        return any(d.action == "grow" for d in self.differences)

    @property
    def altered_configs(self) -> dict[str, str]:
        """Settings that are to be set back, with their declared values."""
        return {d.property: d.wanted for d in self.differences if d.action == "alter"}


@dataclass(frozen=True)
class Plan:
    """Every topic of the topology against one reading of the cluster."""

    brokers: int
    topics: tuple[TopicPlan, ...]

    @property
    def nothing_to_do(self) -> bool:
        """Whether the cluster has everything that the topology declares."""
        return not any(
            topic.action == "create" or any(d.action != "keep" for d in topic.differences)
            for topic in self.topics
        )

    @property
    def refused(self) -> bool:
        """Whether something is wanted that cannot be done: a topic would have to shrink."""
        return any(d.action == "refuse" for t in self.topics for d in t.differences)

    @property
    def left_out(self) -> list[TopicPlan]:
        """Topics that lack partitions still, because nobody asked to grow them."""
        return [
            topic
            for topic in self.topics
            if any(d.action == "grow" and not d.done for d in topic.differences)
        ]

    def steps(self, *, grow: bool) -> list[TopicPlan]:
        """Return the topics for which ``apply`` has something to do."""
        return [
            topic
            for topic in self.topics
            if topic.action == "create" or topic.altered_configs or (grow and topic.grows)
        ]

    def compared_with(self, now: Plan) -> Plan:
        """Return this plan with all that is no longer to do in ``now`` marked as done."""
        return replace(
            self,
            topics=tuple(
                _mark_done(was, is_now) for was, is_now in zip(self.topics, now.topics, strict=True)
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        return {
            "brokers": self.brokers,
            "nothing_to_do": self.nothing_to_do,
            "refused": self.refused,
            "topics": [_topic_to_dict(topic) for topic in self.topics],
        }


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
    return {
        RETENTION: str(topic.retention_ms),
        CLEANUP: topic.cleanup_policy,
        MIN_INSYNC: str(MIN_INSYNC_REPLICAS if enough_copies else 1),
        MAX_MESSAGE: str(topic.max_message_bytes),
    }


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


def _mark_done(was: TopicPlan, now: TopicPlan) -> TopicPlan:
    if was.action == "create":
        # Whatever differs now is somebody else's doing: they created it first, and differently.
        return replace(was, created=now.action != "create", differences=now.differences)
    still = {d.property for d in now.differences if d.action in ("alter", "grow")}
    return replace(
        was,
        differences=tuple(
            replace(d, done=d.action in ("alter", "grow") and d.property not in still)
            for d in was.differences
        ),
    )


def _topic_to_dict(topic: TopicPlan) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "action": topic.action,
        "created": topic.created,
        "partitions": topic.partitions,
        "replication_factor": topic.replication_factor,
        "configs": topic.configs,
        "differences": [
            {
                "property": d.property,
                "actual": d.actual,
                "wanted": d.wanted,
                "action": d.action,
                "done": d.done,
                "note": d.note,
            }
            for d in topic.differences
        ],
    }
