"""``GET /api/dead-letters/export``: dead letters as JSON lines or CSV, read from Kafka."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from trunkline.console.acting import actor_of, needed
from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.refusals import Refusal
from trunkline.dead_letters.filters import LetterFilter, parse_filter
from trunkline.dead_letters.scan import Found, Scan
from trunkline.dead_letters.sheet import sheet_head, sheet_line
from trunkline.dead_letters.transfer import export_line
from trunkline.web.safety.caller import caller_of

_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv"}
#: So much is gathered before it is sent.
_CHUNK = 64 * 1024


class ExportQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters, in which form."""

    format: Literal["ndjson", "csv"] = "ndjson"
    fingerprint: str = ""
    topic: str = ""
    group: str = ""
    error: str = ""
    id: str = ""
    every: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


async def export(context: ConsoleContext, request: web.Request) -> web.StreamResponse:
    """Answer a download; masked fields stay masked, and such lines are not taken back."""
    query = asked(request, ExportQuery)
    wanted = _wanted(context, query)
    scan = Scan(context.settings.connection, context.topology, wanted, acted_on=query.every)
    caller = caller_of(request)
    if not caller.may_act:
        raise Refusal(403, "Exporting needs the token.", "Sign in, or send it as a bearer token.")
    async with scan:
        response = web.StreamResponse(headers=_headers(query))
        audit = needed(context.audit, "audit trail")
        async with audit.action(actor_of(caller), "dlq.export", _what(query, wanted)) as note:
            await response.prepare(request)
            note.result = {"exported": await _write(context, scan, query, response)}
        await response.write_eof()
    return response


async def _write(
    context: ConsoleContext, scan: Scan, query: ExportQuery, response: web.StreamResponse
) -> int:
    text = sheet_head() if query.format == "csv" else ""
    count = 0
    async for step in scan.steps():
        for found in step.found:
            if count == query.limit:
                break
            text += _line(context, query, found)
            count += 1
            if len(text) >= _CHUNK:
                await response.write(text.encode())
                text = ""
    await response.write(text.encode())
    return count


def _wanted(context: ConsoleContext, query: ExportQuery) -> LetterFilter:
    return parse_filter(
        context.topology,
        time.time_ns() // 1_000_000,
        topics=[query.topic] if query.topic else [],
        groups=[query.group] if query.group else [],
        exceptions=[query.error] if query.error else [],
        fingerprints=[query.fingerprint] if query.fingerprint else [],
        ids=[query.id] if query.id else [],
    )


def _what(query: ExportQuery, wanted: LetterFilter) -> dict[str, object]:
    return {"filter": wanted.to_dict(), "format": query.format, "every": query.every}


def _masked(context: ConsoleContext, found: Found) -> Found:
    letter, masking = found.letter, context.masking
    if not masking.is_on:
        return found
    headers = tuple(masking.headers(letter.headers))
    return found._replace(
        letter=replace(letter, value=masking.payload(letter.value), headers=headers)
    )


def _line(context: ConsoleContext, query: ExportQuery, found: Found) -> str:
    shown = _masked(context, found)
    if query.format == "csv":
        return sheet_line(shown)
    before, after = found.letter, shown.letter
    is_masked = (before.value, before.headers) != (after.value, after.headers)
    return export_line(shown, masked=is_masked) + "\n"


def _headers(query: ExportQuery) -> dict[str, str]:
    name = "-".join(part for part in ("dead-letters", query.topic, query.fingerprint) if part)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
    return {
        "Content-Type": f"{_TYPES[query.format]}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{safe}.{query.format}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
