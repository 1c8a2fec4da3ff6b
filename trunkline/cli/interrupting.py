"""Ctrl-C: the good end of a command that goes on for ever, and the early one of others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CANCEL_AGAIN_S = 1.0


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


async def unless_interrupted(work: Coroutine[object, object, T]) -> T:
    """Return what a piece of work does; Ctrl-C or SIGTERM cancels it, and waits until it ended.

    Raises:
        click.Abort: It was interrupted.

    """
    told = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    running, waiting = asyncio.ensure_future(work), asyncio.create_task(told.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if told.is_set():
        await cancel(running)
        raise click.Abort
    return await running


async def cancel(task: asyncio.Future[Any]) -> None:
    """Cancel until it ends: Python 3.11's ``wait_for`` may lose one, and clients call that."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)
