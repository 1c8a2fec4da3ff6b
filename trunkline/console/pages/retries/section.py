"""The pages of the waiting events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.records import RecordView, record_view, topic_href
from trunkline.console.pages.retries.acting import retries_actions
from trunkline.console.pages.retries.asking import RetriesFilter, select
from trunkline.console.pages.retries.rows import EventRow, LaneRow, event_row, lane_rows
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Page, Section
from trunkline.retries.live import LiveRetries, lanes_of
from trunkline.retries.report import counts_of
from trunkline.retries.selection import groups_named, parse_selection

#: Rows of a page; lanes on the first one.
_ROWS, _LANES = 100, 20


class RetriesQuery(RetriesFilter, forbid_unknown_fields=True):
    """Parameters of the list."""

    page: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1


class RetriesAnswer(msgspec.Struct):
    """What waits.

    Attributes:
        waiting: How many events wait in all groups.
        counts: Of those that are meant, by status.
        matching: How many are meant.
        events: This page's, first what is due first.
        lanes: Keys of which events are parked, the longest lanes first.
        lanes_count: How many such keys there are.
        left_out: How many are not shown, because there are too many to hold.
        live: Whether changes are being read from Kafka at the moment.
        pages: How many pages there are.

    """

    asked: RetriesQuery
    waiting: int
    counts: dict[str, int]
    matching: int
    events: list[EventRow]
    lanes: list[LaneRow]
    lanes_count: int
    left_out: int
    live: bool
    pages: int
    groups: list[str]
    topics: list[str]
    now_ms: int


class EventQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which event."""

    group: str = ""
    id: str = ""


class ErrorView(msgspec.Struct):
    """One attempt's error."""

    title: str
    kind: str
    exception: str
    message: str
    stacktrace: str
    at_ms: int


class EventAnswer(msgspec.Struct):
    """All that is known of a waiting event."""

    title: str
    event: EventRow
    record: RecordView
    errors: list[ErrorView]
    behind: list[EventRow]
    behind_count: int
    origin: str
    published_ms: int
    failures_partition: int
    holds_key: bool


def retries(context: ConsoleContext) -> Section:
    """Return the section."""

    async def listed(request: web.Request) -> Mapping[str, Any]:
        return _fields(_listed(context, _live(context), asked(request, RetriesQuery)))

    async def event(request: web.Request) -> Mapping[str, Any]:
        return _fields(await _event(context, _live(context), asked(request, EventQuery)))

    pages = [
        Page(
            "retries",
            "Retries",
            "retries/list.html",
            listed,
            query=RetriesQuery,
            answer=RetriesAnswer,
            nav="Retries",
            key="r",
            refresh_s=2.0,
            summary="The failed events that wait for another attempt, and their keys.",
        ),
        Page(
            "retries/event",
            "Waiting event",
            "retries/event.html",
            event,
            query=EventQuery,
            answer=EventAnswer,
            summary="One waiting event, with its payload and errors.",
        ),
    ]
    return Section(pages, retries_actions(context))


def _listed(context: ConsoleContext, live: LiveRetries, query: RetriesQuery) -> RetriesAnswer:
    meant = select(live, context.topology, query)
    pages = max(1, -(-len(meant.events) // _ROWS))
    first = (min(query.page, pages) - 1) * _ROWS
    lanes = lanes_of(meant.events if not query.status else meant.all) if query.page == 1 else []
    topology = context.topology
    groups = [service.group for service in topology.services if service.group]
    read = dict.fromkeys(name for service in topology.services for name in service.reads)
    return RetriesAnswer(
        asked=query,
        waiting=len(meant.all),
        counts=counts_of(meant.events, meant.now_ms),
        matching=len(meant.events),
        events=[event_row(event, meant.now_ms) for event in meant.events[first : first + _ROWS]],
        lanes=lane_rows(lanes[:_LANES], meant.now_ms),
        lanes_count=len(lanes),
        left_out=live.left_out,
        live=live.connected,
        pages=pages,
        groups=groups,
        topics=list(read),
        now_ms=meant.now_ms,
    )


async def _event(context: ConsoleContext, live: LiveRetries, query: EventQuery) -> EventAnswer:
    topology = context.topology
    [group] = groups_named(topology, [query.group])
    [event_id] = parse_selection(topology, ids=[query.id]).ids
    known = live.find(group, event_id)
    whole = None if known is None else await live.details(known)
    if whole is None:
        raise Refusal(
            404,
            f"{query.id[:200]} does not wait in {group}: it is through, or never was.",
            "See the dead letters for those that failed for good.",
        )
    meant = select(live, topology, RetriesFilter())
    entry, state = whole.entry, whole.entry.state
    lane = (group, entry.id.topic, entry.id.partition, entry.key)
    behind = [
        event
        for event in meant.events
        if event.parked
        and (event.group, event.id.topic, event.id.partition, event.entry.key) == lane
        and event.entry.order > entry.order
    ]
    errors = [("First error", state.first_error), ("Last error", state.last_error)]
    same = state.first_error == state.last_error
    return EventAnswer(
        title=str(entry.id),
        event=event_row(whole, meant.now_ms),
        record=record_view(context, entry.key, entry.value, entry.headers, entry.left_out_bytes),
        errors=[
            ErrorView(title, e.kind, e.exception, e.message, e.stacktrace, e.at_ms)
            for title, e in (errors[1:] if same else errors)
            if e is not None
        ],
        behind=[event_row(event, meant.now_ms) for event in behind[:_LANES]],
        behind_count=len(behind),
        origin=topic_href(entry.id.topic, entry.id.partition, entry.id.offset),
        published_ms=entry.id.timestamp_ms,
        failures_partition=whole.partition,
        holds_key=entry.held,
    )


def _live(context: ConsoleContext) -> LiveRetries:
    live = needed(context.retries, "view of what waits")
    if not live.ready:
        raise Refusal(
            503,
            "What waits is still being read from Kafka.",
            "The page tries again by itself; see this worker's log when it takes long.",
        )
    return live


def _fields(answer: msgspec.Struct) -> Mapping[str, Any]:
    return {name: getattr(answer, name) for name in answer.__struct_fields__}
