"""Ctrl-C as the good end of a command that goes on for ever."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def until_interrupted(work: Coroutine[object, object, None]) -> None:
    """Run something until it ends by itself, or Ctrl-C or SIGTERM cancels it.

    Raises what that raises; a signal is no error.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        await asyncio.wait({task})
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    if not task.cancelled():
        task.result()
