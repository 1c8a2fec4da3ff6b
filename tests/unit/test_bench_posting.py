"""The client that posts prepared bodies: what is not accepted is an error that says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from trunkline.bench.posting import post_all
from trunkline.broker.ports import find_free_port
from trunkline.errors import TrunklineError


@asynccontextmanager
async def server(answer, bodies):
    """Serve one answer to every post, and keep what was posted."""

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(answer)
        except asyncio.IncompleteReadError:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/events/x"


async def test_every_body_is_posted_once():
    """On a few connections that stay open."""
    bodies = []
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
    async with server(answer, bodies) as url:
        await post_all(url, [b"%d" % n for n in range(50)], "application/json", 4)
    assert sorted(bodies, key=int) == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", "503.*later"),
        (b"HTTP/1.1 202 Accepted\r\n\r\n", "did not answer"),
    ],
)
async def test_what_is_not_accepted_is_an_error(answer, words):
    """It has the status and what was said; no answer that can be read is one as well."""
    async with server(answer, []) as url:
        with pytest.raises(TrunklineError, match=words):
            await post_all(url, [b"{}"] * 8, "application/json", 4)


async def test_nobody_there():
    """The address is named."""
    port = find_free_port()
    with pytest.raises(TrunklineError, match=f"127.0.0.1:{port}"):
        await post_all(f"http://127.0.0.1:{port}/", [b"{}"], "application/json", 2)
