"""Services and workers: pods, partitions, rates, what moved, and what an operator has paused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.system.orders import order_actions
from trunkline.console.registry import Page, Section
from trunkline.system.alarms import Situation
from trunkline.system.groups import GroupState, TopicState, unknown_services
from trunkline.system.orders import PauseKey
from trunkline.system.report import PartitionReport, WorkerReport
from trunkline.system.view import SystemView
from trunkline.system.workers import Worker
from trunkline.topology import Topology


class ServicesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What is shown: all, or one service, group (plain or real name) or pod."""

    service: str = ""
    group: str = ""
    pod: str = ""


class PartitionRow(msgspec.Struct):
    """A partition that a group reads, and the pod that has it.

    Attributes:
        pod: None when no pod that reports has it.
        lag: As the brokers say, else as the pod does.
        paused: ``partition``, ``topic`` (with all of it), or ``""``.

    """

    partition: int
    pod: str | None
    position: int | None
    committed: int | None
    end: int | None
    lag: int | None
    unfinished: int
    paused: str


class TopicRow(msgspec.Struct):
    """A topic that a group reads; its name is without the namespace."""

    topic: str
    name: str
    state: TopicState
    paused: bool
    partitions: list[PartitionRow]


class PodRow(msgspec.Struct):
    """A pod: its report, and what the view adds to it.

    ``assigned``, ``gained`` and ``lost`` (at the last rebalance) are short: ``order.created[0]``.
    """

    report: WorkerReport
    seen_at_ms: int
    stale: bool
    assigned: list[str]
    gained: list[str]
    lost: list[str]
    lag: int | None
    handled_per_s: float
    failed_per_s: float
    published_per_s: float


class ServiceRow(msgspec.Struct):
    """A service with its group and its pods.

    Attributes:
        known: False when only its pods tell of it: this console is older than they are.

    """

    service: str
    role: str
    group: str | None
    declared_pods: int
    lag: int | None
    waiting: int
    parked: int
    topics: list[TopicRow]
    pods: list[PodRow]
    known: bool = True


class ServicesAnswer(msgspec.Struct):
    """All services that were asked for."""

    asked: ServicesQuery
    ready: bool
    services: list[ServiceRow]


def services_of(view: SystemView, query: ServicesQuery) -> list[ServiceRow]:
    """Return the services with their pods, in the order of the topology; unknown ones last."""
    situation = view.situation()
    groups = {group.service: group for group in situation.groups}
    rows = []
    for declared in view.topology.services:
        service = view.topology.service(declared.name)
        workers = [w for w in situation.workers if w.report.service == service.name]
        if not _is_asked_for(query, service.name, (service.group, declared.group), workers):
            continue
        group = groups.get(service.name)
        rows.append(
            ServiceRow(
                service=service.name,
                role=service.role,
                group=service.group,
                declared_pods=service.pods,
                lag=group.lag if group else None,
                waiting=group.waiting if group else 0,
                parked=group.parked if group else 0,
                topics=_topics(view, group, workers) if group else [],
                pods=[_pod(view.topology, worker, situation.now_s) for worker in workers],
            )
        )
    return rows + _unknown(view, query, situation)


def _unknown(view: SystemView, query: ServicesQuery, now: Situation) -> list[ServiceRow]:
    """Return the services that are not in this console's topology, but have pods."""
    rows = []
    for service in unknown_services(view.topology, now.workers):
        workers = [w for w in now.workers if w.report.service == service]
        group = next((w.report.group for w in workers if w.report.group), None)
        plain = group and view.topology.plain_name(group)
        if not _is_asked_for(query, service, (group, plain), workers):
            continue
        tables = [w.report.retries for w in workers if w.report.retries]
        rows.append(
            ServiceRow(
                service=service,
                role="unknown",
                group=group,
                declared_pods=0,
                lag=None,
                waiting=sum(each.waiting for each in tables),
                parked=sum(each.parked for each in tables),
                topics=[],
                pods=[_pod(view.topology, worker, now.now_s) for worker in workers],
                known=False,
            )
        )
    return rows


def _is_asked_for(
    query: ServicesQuery,
    service: str,
    groups: tuple[str | None, str | None],
    workers: Sequence[Worker],
) -> bool:
    return (
        query.service in ("", service)
        and query.group in ("", *groups)
        and (not query.pod or any(w.report.pod == query.pod for w in workers))
    )


def in_short(topology: Topology, partitions: Iterable[str]) -> list[str]:
    """Return partitions by topic, without the namespace: ``order.created[0, 3]``."""
    by_topic: dict[str, list[int]] = {}
    for name in partitions:
        topic, _, number = name.rstrip("]").rpartition("[")
        by_topic.setdefault(topology.plain_name(topic), []).append(int(number))
    return [
        f"{topic}[{', '.join(map(str, sorted(numbers)))}]"
        for topic, numbers in sorted(by_topic.items())
    ]


def _pod(topology: Topology, worker: Worker, now_s: float) -> PodRow:
    report = worker.report
    lags = [partition.lag for partition in report.partitions]
    return PodRow(
        report=report,
        seen_at_ms=int(worker.seen_at_s * 1000),
        stale=worker.is_stale(now_s),
        assigned=in_short(topology, (f"{p.topic}[{p.partition}]" for p in report.partitions)),
        gained=in_short(topology, report.last_rebalance.gained),
        lost=in_short(topology, report.last_rebalance.lost),
        lag=None if None in lags or not report.consumes else sum(lag or 0 for lag in lags),
        handled_per_s=round(worker.rate("handled", "recovered"), 2),
        failed_per_s=round(worker.rate("failed", "invalid"), 2),
        published_per_s=round(sum(worker.published.values()), 2),
    )


def _topics(view: SystemView, group: GroupState, workers: Sequence[Worker]) -> list[TopicRow]:
    owners = {
        (p.topic, p.partition): (w.report.pod, p)
        for w in workers
        if w.report.pod in group.pods
        for p in w.report.partitions
    }
    return [
        TopicRow(
            topic=topic,
            name=view.topology.plain_name(topic),
            state=state,
            paused=PauseKey(group.group, topic) in view.orders.pauses,
            partitions=[
                _partition(view, group.group, place, owners.get(place))
                for place in _places(view, topic, owners)
            ],
        )
        for topic, state in group.topics.items()
    ]


def _places(view: SystemView, topic: str, owners: Mapping[Any, Any]) -> list[tuple[str, int]]:
    known = {place for place in view.brokers.ends if place[0] == topic}
    return sorted(known | {place for place in owners if place[0] == topic})


def _partition(
    view: SystemView,
    group: str,
    place: tuple[str, int],
    owner: tuple[str, PartitionReport] | None,
) -> PartitionRow:
    topic, partition = place
    pod, report = owner or (None, PartitionReport(topic=topic, partition=partition))
    asked_for = view.brokers.groups.get(group, {}).get(place)
    pauses = view.orders.pauses
    paused = "topic" if PauseKey(group, topic) in pauses else ""
    return PartitionRow(
        partition=partition,
        pod=pod,
        position=report.position,
        committed=asked_for.committed if asked_for else report.committed,
        end=asked_for.end if asked_for else report.end,
        lag=asked_for.lag if asked_for else report.lag,
        unfinished=report.unfinished,
        paused=paused or ("partition" if PauseKey(group, topic, partition) in pauses else ""),
    )


def services(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        query = asked(request, ServicesQuery)
        view = needed(context.view, "view of the system")
        rows = services_of(view, query)
        return {"asked": query, "ready": view.caught_up, "services": rows}

    page = Page(
        "services",
        "Services and workers",
        "system/services.html",
        data,
        query=ServicesQuery,
        answer=ServicesAnswer,
        nav="Services",
        key="s",
        refresh_s=3.0,
        summary="Every service: its group's topics and partitions, its pods and how they are.",
    )
    return Section(pages=[page], actions=order_actions(context))
