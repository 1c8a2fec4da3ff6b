"""``/stats`` and the health endpoints of every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import psutil
from aiohttp import web

Stats = Callable[[], Mapping[str, Any]]
_STARTED = time.time()
_PROCESS = psutil.Process()


Check = Callable[[], tuple[bool, str]]


def _lives() -> tuple[bool, str]:
    return True, "it answers"


def status_routes(stats: Stats, is_ready: Check, is_live: Check = _lives) -> list[web.RouteDef]:
    """Return the routes ``GET /stats``, ``/health/live`` and ``/health/ready``.

    Args:
        stats: Gives the body of ``/stats``, made anew for each request.
        is_ready: Whether this worker does its work, and the reason when it does not.
        is_live: Whether a restart would help, and why. A worker whose event loop is blocked does
            not answer at all: that is for the probe's own time limit.

    """

    async def get_stats(_: web.Request) -> web.Response:
        return _json({**stats(), **process_stats()})

    async def get_live(_: web.Request) -> web.Response:
        live, reason = is_live()
        return _json({"live": live, "reason": reason}, status=200 if live else 503)

    async def get_ready(_: web.Request) -> web.Response:
        ready, reason = is_ready()
        return _json({"ready": ready, "reason": reason}, status=200 if ready else 503)

    return [
        web.get("/stats", get_stats),
        web.get("/health/live", get_live),
        web.get("/health/ready", get_ready),
    ]


def process_stats() -> dict[str, Any]:
    """Return what the operating system knows of this process: seconds, bytes."""
    return {
        "uptime_s": round(time.time() - _STARTED, 1),
        "memory_bytes": _PROCESS.memory_info().rss,
        "pid": _PROCESS.pid,
    }


def _json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
