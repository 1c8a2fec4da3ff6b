"""Which waiting events a page or an action is about: the same words, the same meaning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from trunkline.retries.inspection import Status, WaitingEvent
from trunkline.retries.live import LiveRetries
from trunkline.retries.selection import Selection, groups_named, parse_selection
from trunkline.topology import Topology

#: The statuses of a waiting event; "" is any.
StatusWord = Literal["", "due", "later", "parked", "exhausted", "discarded"]


class RetriesFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which waiting events are meant; of different fields all must fit.

    Attributes:
        group: Name of a group.
        topic: Name of a topic.
        error: Part of the last error's class; with ``*`` or ``?`` a pattern of all of it.
        key: The event's key, as text or ``0x…``.
        status: What they wait for.

    """

    group: str = ""
    topic: str = ""
    error: str = ""
    key: str = ""
    status: StatusWord = ""


class Meant(NamedTuple):
    """The waiting events that a filter means.

    Attributes:
        events: They, first what is due first.
        all: Everything that waits, whatever the filter says.
        now_ms: As of when.

    """

    events: list[WaitingEvent]
    all: list[WaitingEvent]
    now_ms: int


def select(
    live: LiveRetries, topology: Topology, wanted: RetriesFilter, ids: Sequence[str] = ()
) -> Meant:
    """Return what is meant.

    Raises:
        ConfigurationError: A group, topic or id is none.

    """
    now_ms = time.time_ns() // 1_000_000
    status: Status | None = wanted.status or None
    selection = selection_of(topology, wanted, ids)
    groups = groups_named(topology, [wanted.group]) if wanted.group else None
    everything = live.events()
    events = [
        event
        for event in everything
        if (groups is None or event.group in groups)
        and (status is None or event.status(now_ms) == status)
        and selection.matches(event)
    ]
    return Meant(events, everything, now_ms)


def selection_of(topology: Topology, wanted: RetriesFilter, ids: Sequence[str] = ()) -> Selection:
    """Return a filter's words as the command line's selection."""
    error = wanted.error
    pattern = error if not error or set(error) & set("*?[") else f"*{error}*"
    return parse_selection(
        topology,
        topics=[wanted.topic] if wanted.topic else [],
        keys=[wanted.key] if wanted.key else [],
        exceptions=[pattern] if pattern else [],
        ids=ids,
    )


def said(wanted: RetriesFilter) -> dict[str, Any]:
    """Return the words that were said, for the audit trail."""
    words = {name: getattr(wanted, name) for name in RetriesFilter.__struct_fields__}
    return {name: word for name, word in words.items() if word}
