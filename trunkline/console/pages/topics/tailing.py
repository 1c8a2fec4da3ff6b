"""``GET /api/topics/{topic}/tail``: what comes, as server-sent events, no more than one can read.

``event: record`` with a row (see ``shapes.RecordRow``); ``event: skipped`` with how many were left
out in the second that is over; ``event: state`` when Kafka goes away or is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import msgspec
from aiohttp import ClientError, web

from trunkline.console.context import ConsoleContext
from trunkline.console.pages.topics.rows import record_row
from trunkline.console.refusals import Refusal
from trunkline.errors import TrunklineError
from trunkline.tailing.reading import Start, TopicReader
from trunkline.web import sse

#: Rows a second that one viewer gets: the newest ones.
_ROWS_PER_S = 20
_AT_ONCE = 10
_HEARTBEAT_S = 10.0
#: A consumer that ends says no goodbye, but its connections take a moment.
_CLOSE_S = 3.0
_ENDS_AFTER_S = 1800.0


class LiveTails:
    """The live tails of one worker."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_stopping = False

    async def start(self) -> None:
        """Do nothing: tails begin when they are asked for."""

    async def stop(self) -> None:
        """End all tails: their clients come back to another worker."""
        self._is_stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        for task in tuple(self._tasks):
            task.cancel()  # Kafka is away: there is no connection to close

    async def serve(
        self, request: web.Request, topic: str, partition: int | None
    ) -> web.StreamResponse:
        """Send what comes until the client goes, or half an hour is over."""
        if len(self._tasks) >= _AT_ONCE:
            raise Refusal(503, f"This worker has its {_AT_ONCE} live tails.", "Close another one.")
        response = web.StreamResponse(headers=sse.HEADERS)
        response.force_close()
        await response.prepare(request)
        # A task of its own, which nothing cancels: its consumer is to be closed to the end.
        task = asyncio.create_task(self._send(response, topic, partition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task})
        return response

    async def _send(self, response: web.StreamResponse, topic: str, partition: int | None) -> None:
        partitions = () if partition is None else (partition,)
        reader = TopicReader(topic, self._context.settings.connection, Start(), partitions)
        outbox = _Outbox(response)
        ends_at = asyncio.get_running_loop().time() + _ENDS_AFTER_S
        with contextlib.suppress(ConnectionError, ClientError):
            try:
                await outbox.write("state", "Connecting …")
                records = reader.records(follow=True, say=outbox.say)
                async with contextlib.aclosing(records):
                    async for batch in records:
                        if self._is_stopping or asyncio.get_running_loop().time() > ends_at:
                            break
                        outbox.begin()
                        for record in batch[-_ROWS_PER_S:]:
                            outbox.add(record_row(self._context, record))
                        outbox.left_out += max(0, len(batch) - _ROWS_PER_S)
                        await outbox.flush()
            except TrunklineError as error:
                await outbox.write("state", str(error))


class _Outbox:
    """Rows that wait for their second."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._rows: deque[msgspec.Struct] = deque()
        self._said: list[str] = []
        self._flushed_at = 0.0
        self._wrote_at = 0.0
        self._has_begun = False
        self.left_out = 0

    def begin(self) -> None:
        """Say once that what comes from now on is sent: reading begins at the ends."""
        if not self._has_begun:
            self._has_begun = True
            self.say("Waiting for what comes.")

    def add(self, row: msgspec.Struct) -> None:
        """Keep a row for the next second; the oldest goes when there are too many."""
        self._rows.append(row)
        if len(self._rows) > _ROWS_PER_S:
            self._rows.popleft()
            self.left_out += 1

    def say(self, text: str) -> None:
        """Keep a line about Kafka's state."""
        self._said.append(text)

    async def flush(self) -> None:
        """Send what waits, once a second; a heartbeat when there is nothing for long."""
        now = asyncio.get_running_loop().time()
        if now - self._flushed_at < 1:
            return
        self._flushed_at = now
        if self.left_out:
            await self.write("skipped", self.left_out)
            self.left_out = 0
        for text in self._said:
            await self.write("state", text)
        self._said.clear()
        while self._rows:
            await self.write("record", self._rows.popleft())
        if now - self._wrote_at > _HEARTBEAT_S:
            self._wrote_at = now
            await self._response.write(sse.HEARTBEAT)

    async def write(self, kind: str, data: object) -> None:
        """Send one event."""
        self._wrote_at = asyncio.get_running_loop().time()
        await self._response.write(sse.event_frame(kind, msgspec.json.encode(data)))
