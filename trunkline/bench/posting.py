"""A small HTTP/1.1 client that posts prepared bodies on connections that stay open.

A general client takes more time for each request than the publisher that is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from trunkline.errors import TrunklineError

_TIMEOUT_S = 30.0


async def post_all(url: str, bodies: Sequence[bytes], content_type: str, connections: int) -> None:
    """Post all bodies, on so many connections at once, each with one request at a time.

    Raises:
        TrunklineError: One was not answered with 202, or not within half a minute.

    """
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\n"
        "Content-Length: "
    ).encode()
    remaining = iter(bodies)
    posting = [
        asyncio.create_task(_post(parts.hostname or "", parts.port or 80, head, remaining))
        for _ in range(min(connections, len(bodies)))
    ]
    try:
        await asyncio.gather(*posting)
    finally:
        for task in posting:
            task.cancel()
        await asyncio.wait(posting)


async def _post(host: str, port: int, head: bytes, bodies: Iterator[bytes]) -> None:
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port)
        for body in bodies:
            writer.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            async with asyncio.timeout(_TIMEOUT_S):
                await _require_accepted(reader)
    except (OSError, EOFError, asyncio.LimitOverrunError, LookupError, ValueError) as error:
        raise TrunklineError(f"{host}:{port} did not answer a post: {error!r}") from None
    finally:
        if writer is not None:
            writer.close()


async def _require_accepted(reader: asyncio.StreamReader) -> None:
    status, _, fields = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    length = int(fields.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    answer = await reader.readexactly(length)
    if b" 202 " not in status:
        raise TrunklineError(f"A post was answered {status.decode()}: {answer.decode()[:500]}")
