"""Read events from files and pipes of any size, a chunk at a time, without blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import IO

from trunkline.publishing.bodies import RawEvent, parse_body, split_lines
from trunkline.publishing.errors import RejectedEventError

Chunks = AsyncIterator[list[RawEvent]]

_BLOCK_BYTES = 256 * 1024
_BLOCKS_AHEAD = 4
_CHUNK = 2000


async def feed_events(events: Iterable[bytes]) -> Chunks:
    """Give events that are there already, numbered as lines from 1."""
    numbered: Iterator[RawEvent] = (RawEvent(raw, line=n) for n, raw in enumerate(events, 1))
    while chunk := list(islice(numbered, _CHUNK)):
        yield chunk
        await asyncio.sleep(0)


async def feed_stream(stream: IO[bytes], max_line_bytes: int) -> Chunks:
    """Give the events of NDJSON as they arrive; a JSON array is read to its end first.

    Args:
        stream: Unbuffered, so that a read returns what a pipe has instead of waiting for more.
        max_line_bytes: Longest line that is taken.

    Raises:
        RejectedEventError: A line is longer, or the array is no JSON.

    """
    blocks = _read_ahead(stream)
    rest = await anext(blocks, b"")
    while rest.isspace():
        block = await anext(blocks, b"")
        if not block:
            return
        rest += block
    if rest.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield parse_body(rest + b"".join([block async for block in blocks]))
        return
    rest = rest.removeprefix(b"\xef\xbb\xbf")
    line = 1
    while True:
        whole, newline, rest = rest.rpartition(b"\n")
        if newline:
            chunk = list(split_lines(whole, line))
            line += whole.count(b"\n") + 1
            if chunk:
                yield chunk
        if len(rest) > max_line_bytes:
            raise RejectedEventError(f"longer than {max_line_bytes} bytes", line=line)
        block = await anext(blocks, b"")
        if not block:
            break
        rest += block
    if last := list(split_lines(rest, line)):
        yield last


async def _read_ahead(stream: IO[bytes]) -> AsyncIterator[bytes]:
    """Read in a thread: a pipe that stays silent must not block the loop, nor the end."""
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | Exception] = asyncio.Queue(_BLOCKS_AHEAD)

    def put(item: bytes | Exception) -> None:
        asyncio.run_coroutine_threadsafe(blocks.put(item), loop).result()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody wants more
            try:
                while block := stream.read(_BLOCK_BYTES):
                    put(block)
                put(b"")
            except (OSError, ValueError) as error:
                put(error)

    threading.Thread(target=read, name="feed", daemon=True).start()
    while block := await blocks.get():
        if isinstance(block, Exception):
            raise RejectedEventError(f"the input cannot be read: {block}")
        yield block
