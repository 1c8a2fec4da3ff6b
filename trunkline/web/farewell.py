"""What a worker has answered reaches its client, also when the worker ends meanwhile.

A handler has done its part when less than the transport's high-water mark is left to be sent (64
KiB); aiohttp then closes the connection, which sends the rest in the background, and the worker's
loop ends.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from aiohttp import web

#: How long clients may take for the rest of their answers.
_LIMIT_S = 1.0
_POLL_S = 0.01


def send_answers_to_the_end(runner: web.AppRunner, app: web.Application) -> None:
    """Have a server's end wait until all answers are sent, for at most a second."""
    open_ones: list[asyncio.Transport] = []

    async def note_connections(_: web.Application) -> None:
        if runner.server is not None:
            open_ones.extend(
                handler.transport
                for handler in runner.server.connections
                if handler.transport is not None
            )

    async def wait_for_buffers(_: web.Application) -> None:
        deadline = monotonic() + _LIMIT_S
        while any(map(_unsent, open_ones)) and monotonic() < deadline:
            await asyncio.sleep(_POLL_S)

    app.on_shutdown.append(note_connections)
    app.on_cleanup.append(wait_for_buffers)


def _unsent(transport: asyncio.Transport) -> int:
    try:
        return transport.get_write_buffer_size()
    except (AttributeError, RuntimeError):  # it is closed
        return 0
