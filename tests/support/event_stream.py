"""A notification hub behind a web server, and clients that read its event streams."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import msgspec
from aiohttp import web

from models import NotificationSent
from trunkline.web.notifications import NotificationHub


class Record(NamedTuple):
    """What of a fetched record the hub looks at."""

    partition: int
    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Service:
    """A hub behind a web server, and a client session."""

    def __init__(self, hub, url, session, runner):
        self.hub, self.url, self.session, self.runner = hub, url, session, runner
        self._offset = 0

    def publish(self, user_id, message, *, raw=None, partition=0, offset=None):
        if offset is None:
            offset, self._offset = self._offset, self._offset + 1
        event = NotificationSent(user_id=user_id, message=message)
        self.hub.on_notification(
            Record(partition, offset, raw or msgspec.json.encode(event)), event
        )

    @asynccontextmanager
    async def stream(self, user_id, **headers):
        path = f"{self.url}/notifications/{user_id}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(path, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            yield Stream(response)


class Stream:
    """Reads an event stream as a browser does."""

    def __init__(self, response):
        self.response = response
        self.last_id = ""

    async def frame(self):
        """Return the next frame's fields; the stream's end gives None."""
        fields = {}
        async with asyncio.timeout(30):
            while line := await self.response.content.readuntil(b"\n"):
                text = line.decode().rstrip("\n")
                if not text:
                    return fields
                name, _, value = text.partition(":")
                fields[name] = fields.get(name, "") + value.removeprefix(" ")
                self.last_id = fields.get("id", self.last_id)
        return None

    async def greeting(self):
        """Read the frames up to the marker, and return them."""
        frames = []
        while True:
            frames.append(await self.frame())
            if set(frames[-1]) == {"id"}:
                return frames

    async def event(self):
        """Return kind and data of the next event."""
        while (frame := await self.frame()) is not None:
            if "data" in frame:
                return frame["event"], json.loads(frame["data"])
        return None

    async def message(self):
        kind, data = await self.event()
        assert kind == "notification"
        return data["message"]


@asynccontextmanager
async def serve(limits=None, **options):
    hub = NotificationHub(limits, **options)
    app = web.Application()
    app.add_routes(hub.routes())
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await hub.start()
    port = site._server.sockets[0].getsockname()[1]
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    # readuntil refuses lines longer than twice this.
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, read_bufsize=2**20
    ) as session:
        try:
            yield Service(hub, f"http://127.0.0.1:{port}", session, runner)
        finally:
            await hub.stop()
            await runner.cleanup()
