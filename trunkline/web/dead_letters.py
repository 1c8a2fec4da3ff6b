"""``GET /dead-letters``: what could not be handled, by cause; read-only, without payloads.

``/dead-letters?topic=&group=&status=&limit=``
    ``{"fingerprints": [{"fingerprint", "topic", "group", "exception", "place", "message", "count",
    "open", "redriven", "discarded", "first_seen_ms", "last_seen_ms"}, …], "more"}``, last seen
    first. Names are plain ones; ``more`` says that there are more than ``limit``.
``/dead-letters/{fingerprint}?status=&limit=&after=``
    ``{"fingerprint": {…}, "letters": [{"id", "status", "origin", …}, …], "next"}``, newest first.
    ``next`` is what ``after`` must be for the page behind, null on the last one.

400 a parameter is wrong, 404 no such fingerprint, 503 the database is away; each is
``{"error": {"message"}}``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from trunkline.dead_letters.index import STATUSES, DeadLetterIndex, Place, Status
from trunkline.dead_letters.paging import after_token, place_after
from trunkline.errors import DependencyDown

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
_RETRY_AFTER_S = 2

_DIGEST = re.compile(r"[0-9a-f]{12}")
_Answer = Callable[[web.Request], Awaitable[dict[str, Any]]]


class _RefusedError(Exception):
    """A request that ends with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def dead_letter_routes(index: DeadLetterIndex) -> list[web.RouteDef]:
    """Return the routes that show the index."""

    async def fingerprints(request: web.Request) -> dict[str, Any]:
        asked = _parameters(request, "topic", "group", "status", "limit")
        limit = _limit(asked)
        rows = await index.fingerprints(
            topic=asked.get("topic"),
            group=asked.get("group"),
            status=_status(asked),
            limit=limit + 1,
        )
        return {"fingerprints": rows[:limit], "more": len(rows) > limit}

    async def letters(request: web.Request) -> dict[str, Any]:
        asked = _parameters(request, "status", "limit", "after")
        digest = request.match_info["fingerprint"]
        status, limit, after = _status(asked), _limit(asked), _after(asked)
        found = await index.fingerprint(digest) if _DIGEST.fullmatch(digest) else None
        if found is None:
            raise _RefusedError(
                404, f"No dead letter has the fingerprint {digest[:100]!r}. See /dead-letters."
            )
        rows = await index.letters(digest, status=status, after=after, limit=limit + 1)
        page = rows[:limit]
        last = page[-1] if len(rows) > limit else None
        following = None if last is None else after_token(last)
        return {"fingerprint": found, "letters": page, "next": following}

    return [
        web.get("/dead-letters", _answering(fingerprints)),
        web.get("/dead-letters/{fingerprint}", _answering(letters)),
    ]


def _answering(answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return _json(200, await answer(request))
        except _RefusedError as refusal:
            return _json(refusal.status, {"error": {"message": str(refusal)}})
        except DependencyDown as error:
            body = {"error": {"message": str(error)}}
            return _json(503, body, {"Retry-After": str(_RETRY_AFTER_S)})

    return handle


def _parameters(request: web.Request, *known: str) -> dict[str, str]:
    """Return the parameters that are not empty, each of which may come once."""
    asked: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
            raise _RefusedError(400, f"Unknown parameter {name[:100]!r}. {hint}")
        if name in asked:
            raise _RefusedError(400, f"Parameter {name!r} is there twice: give it once.")
        if "\0" in value:
            raise _RefusedError(400, f"Parameter {name!r} has a NUL character: leave it out.")
        asked[name] = value
    return {name: value for name, value in asked.items() if value}


def _limit(asked: dict[str, str]) -> int:
    text = asked.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise _RefusedError(400, f"limit={text[:100]!r}: give a number from 1 to {MAX_LIMIT}.")
    return limit


def _status(asked: dict[str, str]) -> Status | None:
    text = asked.get("status")
    if text is None:
        return None
    for status in STATUSES:
        if text == status:
            return status
    raise _RefusedError(400, f"status={text[:100]!r}: give one of {', '.join(STATUSES)}.")


def _after(asked: dict[str, str]) -> Place | None:
    text = asked.get("after")
    if text is None:
        return None
    place = place_after(text)
    if place is None:
        raise _RefusedError(
            400, f"after={text[:100]!r}: give the 'next' of the page before, as it was."
        )
    return place


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        # Keys and messages come from anybody: no browser may take them for a page.
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )
