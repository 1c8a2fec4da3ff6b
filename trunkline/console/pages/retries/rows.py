"""What the Retries page shows of waiting events."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from trunkline.cli.escaping import short, shown_bytes
from trunkline.retries.inspection import Status, WaitingEvent
from trunkline.retries.live import LaneHead

_KEY_WIDTH, _ERROR_WIDTH = 60, 160


class EventRow(msgspec.Struct):
    """A waiting event in the list.

    Attributes:
        id: ``order.created[1]@17``.
        group: Real name of the group that could not handle it.
        topic: Real name of its topic.
        key: As harmless text, None without one.
        status: What it waits for.
        due_at_ms: When the next attempt may begin; None when it does not wait for a time.
        attempts: How many have failed.
        first_failed_at_ms: When the first did; None when none has.
        error: The last one's class and message.
        redrives: How often it was redriven.
        href: Of its page.

    """

    id: str
    group: str
    topic: str
    key: str | None
    status: Status
    due_at_ms: int | None
    attempts: int
    first_failed_at_ms: int | None
    error: str
    redrives: int
    href: str


class LaneRow(msgspec.Struct):
    """A key that waits in order.

    Attributes:
        key: As harmless text.
        group: Real name of the group.
        topic: Real name of the topic.
        partition: Of the topic.
        parked: How many events wait behind the head.
        since_ms: When the head failed first.
        head: The event that is tried.
        events: Where the key's events are listed.

    """

    key: str | None
    group: str
    topic: str
    partition: int
    parked: int
    since_ms: int | None
    head: EventRow
    events: str


def event_row(event: WaitingEvent, now_ms: int) -> EventRow:
    """Return a waiting event as a row."""
    state = event.entry.state
    status = event.status(now_ms)
    error = state.last_error
    return EventRow(
        id=str(event.id),
        group=event.group,
        topic=event.id.topic,
        key=key_text(event.entry.key),
        status=status,
        due_at_ms=state.due_at_ms if status == "later" else None,
        attempts=state.attempts,
        first_failed_at_ms=state.first_error.at_ms if state.first_error else None,
        error=short(f"{class_name(error.exception)}: {error.message}", _ERROR_WIDTH)
        if error
        else "",
        redrives=event.entry.redrives,
        href=event_href(event),
    )


def lane_rows(lanes: Sequence[LaneHead], now_ms: int) -> list[LaneRow]:
    """Return lanes as rows."""
    return [
        LaneRow(
            key=key_text(lane.head.entry.key),
            group=lane.head.group,
            topic=lane.head.id.topic,
            partition=lane.head.id.partition,
            parked=lane.parked,
            since_ms=lane.since_ms,
            head=event_row(lane.head, now_ms),
            events="/console/retries?"
            + urlencode(
                {
                    "group": lane.head.group,
                    "topic": lane.head.id.topic,
                    "key": shown_bytes(lane.head.entry.key or b""),
                }
            ),
        )
        for lane in lanes
    ]


def event_href(event: WaitingEvent) -> str:
    """Return the URL of an event's page."""
    return "/console/retries/event?" + urlencode({"group": event.group, "id": str(event.id)})


def key_text(key: bytes | None) -> str | None:
    """Return a key as harmless text."""
    return None if key is None else short(shown_bytes(key), _KEY_WIDTH)


def class_name(exception: str) -> str:
    """Return an exception's class without its modules."""
    return exception.rpartition(".")[2]
