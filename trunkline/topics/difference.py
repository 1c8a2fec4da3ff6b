"""A plan: how each topic should be, how that differs from the cluster, and what was done of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

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
