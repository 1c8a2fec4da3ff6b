"""Audit: who did what, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

from trunkline.audit import AuditRecord
from trunkline.audit.trail import AuditEntry, AuditFilter, State
from trunkline.console.acting import needed
from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.formats import words
from trunkline.console.registry import Page, Section

#: What the page offers to filter by; others can be written into the URL.
ACTIONS = ("retries", "dlq", "pause", "resume", "drain", "undrain", "job")


class AuditQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which actions."""

    action: str = ""
    who: str = ""
    outcome: Literal["", "begun", "done", "interrupted", "failed"] = ""
    text: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class AuditRow(msgspec.Struct):
    """One action.

    Attributes:
        state: What became of it; ``begun`` while it runs, and for ever when its process died.
        what: To what it was done, in short.
        took_ms: How long it took; None without an end.
        begun: Its first record.
        ended: Its last one.

    """

    state: State
    what: str
    result: str
    took_ms: int | None
    begun: AuditRecord
    ended: AuditRecord | None


class AuditAnswer(msgspec.Struct):
    """The newest actions."""

    asked: AuditQuery
    ready: bool
    live: bool
    entries: list[AuditRow]
    more: bool


def audit(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        query = asked(request, AuditQuery)
        trail = needed(context.trail, "audit trail")
        wanted = AuditFilter(query.action, query.who, query.outcome, query.text)
        found = trail.trail.entries(wanted, query.limit + 1)
        return {
            "asked": query,
            "ready": trail.ready,
            "live": trail.connected,
            "entries": [audit_row(entry) for entry in found[: query.limit]],
            "more": len(found) > query.limit,
            "actions": ACTIONS,
        }

    page = Page(
        "audit",
        "Audit",
        "audit/list.html",
        data,
        query=AuditQuery,
        answer=AuditAnswer,
        nav="Audit",
        key="a",
        summary="Who did what to the system, the newest first.",
    )
    return Section([page])


def audit_row(entry: AuditEntry) -> AuditRow:
    """Return an action as a row."""
    begun, ended = entry.begun, entry.ended
    return AuditRow(
        entry.state,
        words(begun.what),
        "" if ended is None else ended.error or words(ended.result),
        None if ended is None else max(0, ended.at_ms - begun.at_ms),
        begun,
        ended,
    )
