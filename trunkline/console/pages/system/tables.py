"""Tables: what the groups remember: waiting retries, held keys, counts, SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.context import ConsoleContext
from trunkline.console.registry import Page, Section
from trunkline.system.view import SystemView
from trunkline.system.workers import Worker


class RetriesTable(msgspec.Struct):
    """A group's table of failed events.

    Attributes:
        waiting: Events in it, as the group's pods say.
        parked: Those that wait behind another one of their key.
        lanes: Keys that wait.
        running: Attempts that run.
        open_partitions: Partitions that are read and tried.
        partitions: How many it has.
        changelog_records: Offsets of its changelog, overwritten ones included.
        held_keys_records: The same of the topic of the held keys.
        failures_lag: Failed events that the table does not have yet; None: not known.

    """

    group: str
    service: str
    pods: int
    waiting: int
    parked: int
    lanes: int
    running: int
    open_partitions: int
    partitions: int
    changelog_records: int
    held_keys_records: int
    failures_lag: int | None


class CountsTable(msgspec.Struct):
    """A table of counts, as one pod has its part of it."""

    name: str
    pod: str
    rows: int
    windows: int
    count: int
    newest: list[dict[str, Any]]


class SqlDatabase(msgspec.Struct):
    """A SQL database that a service writes."""

    service: str
    url: str
    pods: list[str]


class TablesAnswer(msgspec.Struct):
    """Everything that is remembered."""

    ready: bool
    retries: list[RetriesTable]
    counts: list[CountsTable]
    databases: list[SqlDatabase]


def tables_of(view: SystemView) -> TablesAnswer:
    """Return what the page shows."""
    fresh = view.workers.fresh()
    return TablesAnswer(
        ready=view.caught_up,
        retries=[_retries(view, group.group, group.service, fresh) for group in view.groups()],
        counts=_counts(fresh),
        databases=_databases(fresh),
    )


def _retries(view: SystemView, group: str, service: str, fresh: Sequence[Worker]) -> RetriesTable:
    topology = view.topology
    pods = [w for w in fresh if w.report.group == group and w.report.consumes]
    known = [w.report.retries for w in pods if w.report.retries is not None]
    lags = [each.lag for each in known]
    partitions = [p for each in known for p in each.partitions]
    return RetriesTable(
        group=group,
        service=service,
        pods=len(pods),
        waiting=sum(each.waiting for each in known),
        parked=sum(each.parked for each in known),
        lanes=sum(each.lanes for each in known),
        running=sum(each.running for each in known),
        open_partitions=sum(1 for p in partitions if p.get("open")),
        partitions=topology.failures_topic(group).partitions,
        changelog_records=view.brokers.size(topology.retries_changelog(group).name),
        held_keys_records=view.brokers.size(topology.held_keys_topic(group).name),
        failures_lag=None if None in lags or not lags else sum(lag or 0 for lag in lags),
    )


def _counts(fresh: Sequence[Worker]) -> list[CountsTable]:
    return [
        CountsTable(
            name=name,
            pod=worker.report.pod,
            rows=table.get("rows", 0),
            windows=table.get("windows", 0),
            count=table.get("count", 0),
            newest=table.get("newest", []),
        )
        for worker in fresh
        for name, table in worker.report.tables.items()
    ]


def _databases(fresh: Sequence[Worker]) -> list[SqlDatabase]:
    found: dict[tuple[str, str], SqlDatabase] = {}
    for worker in fresh:
        report = worker.report
        if report.database:
            key = report.service, report.database
            found.setdefault(key, SqlDatabase(*key, [])).pods.append(report.pod)
    return list(found.values())


def tables(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        view = needed(context.view, "view of the system")
        return msgspec.structs.asdict(tables_of(view))

    page = Page(
        "tables",
        "Tables",
        "system/tables.html",
        data,
        answer=TablesAnswer,
        nav="Tables",
        key="b",
        summary="What the groups remember: waiting retries, held keys, counts, SQL databases.",
    )
    return Section(pages=[page])
