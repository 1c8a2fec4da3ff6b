"""The groups: what their pods report, put together with what the brokers know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trunkline.system.brokers import ASK_S, BrokersView, groups_of
from trunkline.system.workers import Worker
from trunkline.topology import Topology

#: A reading of the brokers that is older says nothing any more.
FRESH_S = 3 * ASK_S


@dataclass(frozen=True)
class TopicState:
    """One topic that a group reads.

    Attributes:
        lag: None while nobody knows.
        handled_per_s: First attempts that succeeded.
        failed_per_s: First attempts that failed, and records that no handler could take.
        open_breakers: Pods on which the topic waits for its dependency.
        tripped_guards: Pods on which the flood guard stopped it.

    """

    topic: str
    lag: int | None = None
    handled_per_s: float = 0.0
    failed_per_s: float = 0.0
    dead_per_s: float = 0.0
    open_breakers: tuple[str, ...] = ()
    tripped_guards: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupState:
    """One group.

    Attributes:
        group: Real name.
        service: Which service it is of.
        pods: Names of its pods that report and consume.
        stale: Those that should report and do not.
        lag: Of all its topics; None while nobody knows.
        topics: By real name.
        waiting: Events in its retries table, as its pods say.
        parked: Those of them that wait behind another one of their key.
        overdue_ms: How late its next attempt is; 0 when it is not.

    """

    group: str
    service: str
    pods: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    lag: int | None = None
    topics: dict[str, TopicState] = field(default_factory=dict)
    waiting: int = 0
    parked: int = 0
    overdue_ms: int = 0


def group_states(
    topology: Topology, workers: Sequence[Worker], brokers: BrokersView, now_s: float
) -> list[GroupState]:
    """Return every group of the topology, in its order."""
    services = {topology.service(s.name).group: s.name for s in topology.services if s.group}
    known = brokers if now_s - brokers.at_s <= FRESH_S else BrokersView()
    states = []
    for group, topics in groups_of(topology).items():
        members = [w for w in workers if w.report.group == group and w.report.consumes]
        stale = [w.report.pod for w in members if w.is_stale(now_s)]
        fresh = [w for w in members if not w.is_stale(now_s)]
        by_topic = {topic: _topic(topic, group, fresh, known) for topic in topics}
        state = GroupState(group, services[group], stale=tuple(stale), topics=by_topic)
        states.append(_with_sums(state, fresh))
    return states


def unknown_services(topology: Topology, workers: Sequence[Worker]) -> list[str]:
    """Return the services that have pods and are not in the topology: of a newer release."""
    known = {service.name for service in topology.services}
    return sorted({w.report.service for w in workers} - known)


def _with_sums(state: GroupState, fresh: Sequence[Worker]) -> GroupState:
    states = state.topics
    lags = [state.lag for state in states.values()]
    retries = [w.report.retries for w in fresh if w.report.retries is not None]
    late = [-r.next_due_in_ms for r in retries if r.next_due_in_ms is not None]
    return replace(
        state,
        pods=tuple(w.report.pod for w in fresh),
        lag=None if None in lags else sum(lag or 0 for lag in lags),
        waiting=sum(r.waiting for r in retries),
        parked=sum(r.parked for r in retries),
        overdue_ms=max(0, *late) if late else 0,
    )


def _topic(topic: str, group: str, pods: Sequence[Worker], brokers: BrokersView) -> TopicState:
    having = [w for w in pods if topic in w.report.topics]
    return TopicState(
        topic=topic,
        lag=_lag(topic, group, pods, brokers),
        handled_per_s=_rate(having, topic, "handled", "recovered"),
        failed_per_s=_rate(having, topic, "failed", "invalid"),
        dead_per_s=_rate(having, topic, "dead"),
        open_breakers=tuple(
            w.report.pod
            for w in having
            if w.report.topics[topic].breaker.get("state", "closed") != "closed"
        ),
        tripped_guards=tuple(
            w.report.pod
            for w in having
            if w.report.topics[topic].flood_guard.get("state", "closed") == "tripped"
        ),
    )


def _rate(pods: Sequence[Worker], topic: str, *counters: str) -> float:
    return sum(w.rates.get(topic, {}).get(name, 0.0) for w in pods for name in counters)


def _lag(topic: str, group: str, pods: Sequence[Worker], brokers: BrokersView) -> int | None:
    """Return what the brokers say; else the sum over the pods' partitions, which they all have."""
    if group in brokers.groups:
        return brokers.lag(group, topic)
    lags = [p.lag for w in pods for p in w.report.partitions if p.topic == topic]
    if not lags or None in lags:
        return None
    return sum(lag or 0 for lag in lags)
