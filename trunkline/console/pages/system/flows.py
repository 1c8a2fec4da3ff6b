"""Who sends what to whom, and how much of it lately: the graph behind the topology's picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from trunkline.system.groups import GroupState
from trunkline.system.view import SystemView

NodeKind = Literal["publisher", "topic", "service", "failures", "dead-letters"]
State = Literal["ok", "warn", "bad", "idle"]
EdgeKind = Literal["events", "failures"]

#: Columns of the picture, from left to right.
PUBLISHERS, TOPICS, SERVICES, FAILURES, DEAD_LETTERS, READERS = range(6)
HEADINGS = ("Publishers", "Topics", "Services", "Failures and relays", "Dead letters", "Index")


@dataclass
class Node:
    """A service or a topic.

    Attributes:
        id: Unlike all others.
        kind: What it is.
        column: Where it stands in the picture.
        name: Without the namespace.
        note: A few words: pods, partitions, lag.
        state: ``bad``: look here.
        href: The page that says more.
        rate_per_s: Events written to a topic, or handled by a service; None: nobody knows.

    """

    id: str
    kind: NodeKind
    column: int
    name: str
    note: str = ""
    state: State = "ok"
    href: str = ""
    rate_per_s: float | None = None


@dataclass
class Edge:
    """Events that go from one to the other.

    Attributes:
        source: Id of a node.
        target: Id of a node.
        rate_per_s: How many lately; None where that cannot be told apart.
        kind: Whether they are events or what could not be handled.

    """

    source: str
    target: str
    rate_per_s: float | None = None
    kind: EdgeKind = "events"


@dataclass
class Flows:
    """The graph."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def flows_of(view: SystemView) -> Flows:
    """Return the topology with what flows through it now."""
    flows = Flows()
    groups = {group.service: group for group in view.groups()}
    _add_publishers(flows, view)
    _add_topics(flows, view)
    for declared in view.topology.services:
        if (group := groups.get(declared.name)) is not None:
            _add_group(flows, view, group)
    if view.away and not view.workers.fresh():
        _forget_pods(flows)
    return flows


def _forget_pods(flows: Flows) -> None:
    """Say that nothing is known of the pods: Kafka is away, and they may well run."""
    for node in flows.nodes:
        if node.kind in ("publisher", "service"):
            node.note, node.state = "unknown", "idle"


def _add_publishers(flows: Flows, view: SystemView) -> None:
    for service in view.topology.services:
        if not service.publishes:
            continue
        pods = [w for w in view.workers.fresh() if w.report.service == service.name]
        rates = {
            topic: sum(w.published.get(topic, 0.0) for w in pods) for topic in service.publishes
        }
        node = Node(
            f"publisher:{service.name}",
            "publisher",
            PUBLISHERS,
            service.name,
            _pods(len(pods)),
            "ok" if pods else "idle",
            f"/console/services?service={quote(service.name)}",
            sum(rates.values()),
        )
        flows.nodes.append(node)
        flows.edges += [Edge(node.id, f"topic:{topic}", rate) for topic, rate in rates.items()]


def _add_topics(flows: Flows, view: SystemView) -> None:
    relayed = {topic for service in view.topology.services for topic in service.relays_to}
    for declared in view.topology.declared_topics:
        real = view.topology.real_name(declared.name)
        column = FAILURES if declared.name in relayed else TOPICS
        flows.nodes.append(_topic(view, "topic", real, column))


def _topic(view: SystemView, kind: NodeKind, real: str, column: int) -> Node:
    plain = view.topology.plain_name(real)
    partitions = sum(1 for topic, _ in view.brokers.ends if topic == real)
    missing = real in view.brokers.missing
    note = f"{partitions} partition{'' if partitions == 1 else 's'}"
    return Node(
        f"topic:{plain}",
        kind,
        column,
        plain,
        "is missing" if missing else note,
        "bad" if missing else "ok",
        f"/console/topics/{quote(real)}",
        view.flow.per_s(real),
    )


def _add_group(flows: Flows, view: SystemView, group: GroupState) -> None:
    topology = view.topology
    service = topology.service(group.service)
    node = Node(
        f"service:{group.service}",
        "service",
        READERS if service.reads_dead_letters else SERVICES,
        group.service,
        _note_of(group),
        _state_of(group, view.orders.names().get(group.group, ())),
        f"/console/services?service={quote(group.service)}",
        sum(topic.handled_per_s for topic in group.topics.values()),
    )
    flows.nodes.append(node)
    for topic, state in group.topics.items():
        source = f"topic:{topology.plain_name(topic)}"
        flows.edges.append(Edge(source, node.id, state.handled_per_s, _kind_of(topic, view)))
    flows.edges += [Edge(node.id, f"topic:{topic}") for topic in service.relays_to]
    if service.reads:
        _add_failures(flows, view, group)


def _add_failures(flows: Flows, view: SystemView, group: GroupState) -> None:
    topology = view.topology
    failures = _topic(view, "failures", topology.failures_topic(group.group).name, FAILURES)
    if group.waiting:
        failures.note, failures.state = f"{group.waiting:,} wait", "warn"
        failures.href = f"/console/retries?group={quote(group.group)}"
    flows.nodes.append(failures)
    source = f"service:{group.service}"
    flows.edges.append(Edge(source, failures.id, failures.rate_per_s, "failures"))
    known = {node.id for node in flows.nodes}
    for topic, state in group.topics.items():
        letters = topology.dead_letters_topic(topic).name
        node = _topic(view, "dead-letters", letters, DEAD_LETTERS)
        node.href = f"/console/dead-letters?topic={quote(topology.plain_name(topic))}"
        if node.id not in known:
            flows.nodes.append(node)
        flows.edges.append(Edge(failures.id, node.id, state.dead_per_s, "failures"))


def _kind_of(topic: str, view: SystemView) -> EdgeKind:
    letters = {each.name for each in view.topology.dead_letters_topics()}
    return "failures" if topic in letters else "events"


def _note_of(group: GroupState) -> str:
    lag = "lag unknown" if group.lag is None else f"lag {group.lag:,}"
    return f"{_pods(len(group.pods))}, {lag}"


def _state_of(group: GroupState, paused: Iterable[str]) -> State:
    topics = group.topics.values()
    if any(topic.open_breakers or topic.tripped_guards for topic in topics) or group.stale:
        return "bad"
    if not group.pods:
        return "bad" if group.lag else "idle"
    return "warn" if list(paused) else "ok"


def _pods(count: int) -> str:
    return "no pod" if not count else f"{count} pod{'' if count == 1 else 's'}"
