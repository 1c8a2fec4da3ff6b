"""Overview: in ten seconds one knows what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.context import ConsoleContext
from trunkline.console.registry import Page, Section
from trunkline.system.alarms import Alarm, alarms, health
from trunkline.system.groups import GroupState
from trunkline.system.history import Point
from trunkline.system.view import SystemView

#: An empty history's point, so that a page has figures from its first moment on.
_NOTHING = Point(0.0)


class Health(msgspec.Struct):
    """How it is: ``ok``, ``degraded`` or ``failing``, and why in one line."""

    state: str
    text: str


class GroupRow(msgspec.Struct):
    """A group in few figures; its name is without the namespace."""

    group: str
    name: str
    service: str
    pods: int
    stale: int
    lag: int | None
    handled_per_s: float
    failed_per_s: float
    waiting: int
    paused: list[str]
    open_breakers: list[str]
    tripped_guards: list[str]


class OverviewAnswer(msgspec.Struct):
    """The whole system at one moment.

    Attributes:
        health: In one line.
        ready: Whether the pods' reports have been read; before that all figures are empty.
        at_ms: When (Unix time).
        pods: Pods that report.
        stale: Pods that should report and do not.
        brokers: Brokers that are up.
        now: The newest point of the history; ``history`` has its fields as columns.
        alarms: What is wrong, worst first.
        groups: In the order of the topology.
        history: Columns, the oldest value first; ``at_s`` is Unix time.

    """

    health: Health
    ready: bool
    at_ms: int
    pods: int
    stale: int
    brokers: int
    now: Point
    alarms: Sequence[Alarm]
    groups: Sequence[GroupRow]
    history: Mapping[str, Sequence[float | int | None]]


def overview_of(view: SystemView) -> OverviewAnswer:
    """Return what the page shows."""
    situation = view.situation()
    found = alarms(situation)
    state, text = health(found, situation)
    if not view.caught_up:
        state, text = "degraded", "The pods' reports are being read from Kafka."
    stale = [worker for worker in situation.workers if worker.is_stale(situation.now_s)]
    return OverviewAnswer(
        health=Health(state, text),
        ready=view.caught_up,
        at_ms=int(situation.now_s * 1000),
        pods=len(situation.workers) - len(stale),
        stale=len(stale),
        brokers=situation.brokers.brokers,
        now=situation.points[-1] if situation.points else _NOTHING,
        alarms=found,
        groups=[
            _row(
                group,
                view.topology.plain_name(group.group),
                situation.pauses.get(group.group, []),
            )
            for group in situation.groups
        ],
        history=view.history.columns(),
    )


def _row(group: GroupState, name: str, paused: list[str]) -> GroupRow:
    topics = group.topics.values()
    return GroupRow(
        group=group.group,
        name=name,
        service=group.service,
        pods=len(group.pods),
        stale=len(group.stale),
        lag=group.lag,
        handled_per_s=round(sum(topic.handled_per_s for topic in topics), 2),
        failed_per_s=round(sum(topic.failed_per_s for topic in topics), 2),
        waiting=group.waiting,
        paused=paused,
        open_breakers=[topic.topic for topic in topics if topic.open_breakers],
        tripped_guards=[topic.topic for topic in topics if topic.tripped_guards],
    )


def overview(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        view = needed(context.view, "view of the system")
        return msgspec.structs.asdict(overview_of(view))

    page = Page(
        "overview",
        "Overview",
        "system/overview.html",
        data,
        answer=OverviewAnswer,
        nav="Overview",
        key="o",
        refresh_s=3.0,
        summary="How the whole system is: health, alarms, rates, lag, retries, dead letters.",
    )
    return Section(pages=[page])
