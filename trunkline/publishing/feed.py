"""Read events from files and pipes of any size, a chunk at a time, without blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import IO

from trunkline.publishing.bodies import RawEvent, parse_body, split_lines
from trunkline.publishing.errors import RejectedEventError

Chunks = AsyncGenerator[list[RawEvent], None]

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
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
    async with contextlib.aclosing(_read_ahead(stream)) as blocks:
        start = await _first_text(blocks)
        if start.startswith(b"["):
            yield parse_body(start + b"".join([block async for block in blocks]))
        else:
            async for chunk in _lines(start, blocks, max_line_bytes):
                yield chunk


async def _first_text(blocks: AsyncIterator[bytes]) -> bytes:
    """Return the start of the input, from its first character that is no white space.

    Leading line breaks are kept where NDJSON follows: its lines are counted.
    """
    start = (await anext(blocks, b"")).removeprefix(_BOM)
    while not start.strip(_BLANK) and (block := await anext(blocks, b"")):
        start += block
    text = start.lstrip(_BLANK)
    return text if text.startswith(b"[") else start


async def _lines(rest: bytes, blocks: AsyncIterator[bytes], max_line_bytes: int) -> Chunks:
    line = 1
    ended = False
    while not ended:
        whole, newline, rest = rest.rpartition(b"\n")
        if newline:
            if chunk := list(split_lines(whole, line)):
                yield chunk
            line += whole.count(b"\n") + 1
        if len(rest) > max_line_bytes:
            raise RejectedEventError(f"longer than {max_line_bytes} bytes", line=line)
        block = await anext(blocks, b"")
        ended = not block
        rest += block
    if last := list(split_lines(rest, line)):
        yield last


async def _read_ahead(stream: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """Read in a thread: a pipe that stays silent must not block the loop, nor the end."""
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes | Exception] = asyncio.Queue()
    room = threading.Semaphore(_BLOCKS_AHEAD)
    closed = threading.Event()

    def read() -> None:
        item: bytes | Exception = b"?"
        while item and not isinstance(item, Exception):
            room.acquire()
            if closed.is_set():
                return
            try:
                item = stream.read(_BLOCK_BYTES)
            except (OSError, ValueError) as error:
                item = error
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody wants it
                loop.call_soon_threadsafe(blocks.put_nowait, item)

    threading.Thread(target=read, name="feed", daemon=True).start()
    try:
        while block := await blocks.get():
            if isinstance(block, Exception):
                raise RejectedEventError(f"the input cannot be read: {block}")
            room.release()
            yield block
    finally:
        closed.set()
        room.release()
