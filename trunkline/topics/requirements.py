"""What a worker checks before it starts: that no topic of its service would break it."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.errors import TopologyError
from trunkline.topics.view import (
    CLEANUP,
    MAX_MESSAGE,
    MIN_INSYNC,
    ClusterTopic,
    ClusterView,
    policies,
)
from trunkline.topology import Service, Topic, Topology

PLAN = "trunkline topics plan"
APPLY = "trunkline topics apply"
GROW = "trunkline topics apply --grow"

#: What is wrong, and the command that mends it, or None when no command can.
Problem = tuple[str, str | None]


def check_for_service(view: ClusterView, topology: Topology, service: Service) -> None:
    """Check the topics that a service reads, publishes, relays to and remembers by.

    Only what would lose events, order or a table counts; a different retention or replication
    factor is for ``trunkline topics plan`` to show.

    Raises:
        TopologyError: A topic does not fit; the message lists all that is wrong, and the command
            that mends it.

    """
    problems = [
        (f"{topic.name}: {what}", mend)
        for topic in topology.topics_of(service.name)
        for what, mend in _problems(topic, view)
    ]
    if not problems:
        return
    lines = [
        f"{service.name} cannot start: the cluster's topics do not fit the topology.",
        *(f"  {text}" for text, _ in problems),
        f"See the difference: {PLAN}",
    ]
    mends = {mend for _, mend in problems}
    if GROW in mends or APPLY in mends:
        lines.append(f"Mend it: {GROW if GROW in mends else APPLY}")
    raise TopologyError("\n".join(lines))


def _problems(topic: Topic, view: ClusterView) -> Iterable[Problem]:
    actual = view.topics.get(topic.name)
    if actual is None:
        yield "the topic is missing", APPLY
        return
    yield from _partition_problems(topic, actual, view)
    yield from _config_problems(topic, actual)


def _partition_problems(topic: Topic, actual: ClusterTopic, view: ClusterView) -> Iterable[Problem]:
    source = view.topics.get(topic.same_partitions_as or "")
    if source is None:
        if actual.partitions < topic.partitions:
            yield f"{actual.partitions} partitions, declared are {topic.partitions}", GROW
    elif actual.partitions != source.partitions:
        # Faust: PartitionsMismatch, in the middle of the start (DESIGN section 1).
        what = (
            f"{actual.partitions} partitions, but its source topic {source.name} has "
            f"{source.partitions}; a changelog needs the same number"
        )
        if actual.partitions <= max(source.partitions, topic.partitions):
            yield what, GROW
        else:
            yield f"{what}: grow {source.name}, or delete it if its table may be lost", None


def _config_problems(topic: Topic, actual: ClusterTopic) -> Iterable[Problem]:
    policy = actual.configs.get(CLEANUP, "")
    if policies(policy) != policies(topic.cleanup_policy):
        yield f"{CLEANUP} is {policy}, must be {topic.cleanup_policy}", APPLY
    in_sync = int(actual.configs.get(MIN_INSYNC, "1"))
    if in_sync > actual.replication_factor:
        what = (
            f"{MIN_INSYNC} is {in_sync}, but partitions have {actual.replication_factor} replica(s)"
        )
        yield f"{what}, so that every write would be refused", APPLY
    largest = int(actual.configs.get(MAX_MESSAGE, topic.max_message_bytes))
    if largest < topic.max_message_bytes:
        yield (
            f"{MAX_MESSAGE} is {largest}, must be {topic.max_message_bytes} or more",
            APPLY,
        )
