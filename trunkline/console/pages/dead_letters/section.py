"""The pages of the dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.dead_letters.acting import Acting
from trunkline.console.pages.dead_letters.answers import (
    GroupAnswer,
    GroupQuery,
    GroupsAnswer,
    GroupsQuery,
    MessageAnswer,
    MessageQuery,
)
from trunkline.console.pages.dead_letters.exporting import export
from trunkline.console.pages.dead_letters.listing import list_groups, list_letters
from trunkline.console.pages.dead_letters.message import show_message
from trunkline.console.registry import Page, Section


def dead_letters(context: ConsoleContext) -> Section:
    """Return the section."""

    async def groups(request: web.Request) -> Mapping[str, Any]:
        return await list_groups(context, asked(request, GroupsQuery))

    async def group(request: web.Request) -> Mapping[str, Any]:
        digest = request.match_info["fingerprint"]
        return await list_letters(context, digest, asked(request, GroupQuery))

    async def message(request: web.Request) -> Mapping[str, Any]:
        return await show_message(context, asked(request, MessageQuery))

    async def exported(request: web.Request) -> web.StreamResponse:
        return await export(context, request)

    pages = [
        Page(
            "dead-letters",
            "Dead letters",
            "dead_letters/groups.html",
            groups,
            query=GroupsQuery,
            answer=GroupsAnswer,
            nav="Dead letters",
            key="d",
            refresh_s=3.0,
            summary="Dead letters by fingerprint, and what is being done with them.",
        ),
        Page(
            "dead-letters/by/{fingerprint}",
            "Dead letters",
            "dead_letters/letters.html",
            group,
            query=GroupQuery,
            answer=GroupAnswer,
            refresh_s=3.0,
            summary="The dead letters of one fingerprint.",
        ),
        Page(
            "dead-letters/message",
            "Dead letter",
            "dead_letters/message.html",
            message,
            query=MessageQuery,
            answer=MessageAnswer,
            refresh_s=0,
            summary="One dead letter: payload, headers, error, surroundings, history.",
        ),
    ]
    download = web.get("/api/dead-letters/export", exported)
    return Section(pages, Acting(context).actions(), [download])
