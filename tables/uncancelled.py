"""Let a transaction come to its end also when who waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work; when the caller is cancelled, it ends first, and its outcome is nobody's.

    aiosqlite runs statements in a thread. Cancelled in the middle of one, SQLAlchemy gave the
    connection back while the thread was still at it, and SQLite's write lock stayed with it for
    ever: every later write of every pod failed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not report it
        raise
