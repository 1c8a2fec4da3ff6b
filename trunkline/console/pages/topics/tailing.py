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
from trunkline.web.stream import give_up_on_silence

#: Rows a second that one viewer gets: the newest ones.
_ROWS_PER_S = 20
_AT_ONCE = 10
_HEARTBEAT_S = 10.0
#: A client that takes nothing for so long is gone, or might as well be.
_TAKEN_WITHIN_S = 20.0
#: How often it is looked whether there is something to send, and somebody to send it to.
_TICK_S = 0.1
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
        """Send what comes until the client goes, takes nothing, or half an hour is over."""
        if len(self._tasks) >= _AT_ONCE:
            raise Refusal(503, f"This worker has its {_AT_ONCE} live tails.", "Close another one.")
        response = web.StreamResponse(headers=sse.HEADERS)
        response.force_close()
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        give_up_on_silence(transport)
        outbox = _Outbox(response)
        # A task of its own, so that its consumer is closed to the end whatever becomes of us.
        reading = asyncio.create_task(self._read(outbox, topic, partition))
        self._tasks.add(reading)
        reading.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(ConnectionError, ClientError):
                await self._send(outbox, reading, transport)
        except TimeoutError:
            transport.abort()
        finally:
            outbox.is_over = True
            await asyncio.wait({reading}, timeout=_CLOSE_S)
            reading.cancel()  # Kafka is away: there is no connection to close
        return response

    async def _send(
        self, outbox: _Outbox, reading: asyncio.Task[None], transport: asyncio.BaseTransport
    ) -> None:
        """Send what is read; notice a client that has gone also while nothing is.

        Raises:
            TimeoutError: The client takes nothing.

        """
        now = asyncio.get_running_loop().time
        ends_at = now() + _ENDS_AFTER_S
        await outbox.write("state", "Connecting …")
        while not (reading.done() or transport.is_closing()):
            if self._is_stopping or now() > ends_at:
                return
            await outbox.flush_once_a_second()
            await asyncio.wait({reading}, timeout=_TICK_S)
        await outbox.flush()

    async def _read(self, outbox: _Outbox, topic: str, partition: int | None) -> None:
        partitions = () if partition is None else (partition,)
        reader = TopicReader(topic, self._context.settings.connection, Start(), partitions)
        try:
            records = reader.records(follow=True, say=outbox.say)
            async with contextlib.aclosing(records):
                async for batch in records:
                    if outbox.is_over:
                        return
                    outbox.begin()
                    for record in batch[-_ROWS_PER_S:]:
                        outbox.add(record_row(self._context, record))
                    outbox.left_out += max(0, len(batch) - _ROWS_PER_S)
        except TrunklineError as error:
            outbox.say(str(error))


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
        self.is_over = False

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

    async def flush_once_a_second(self) -> None:
        """Send what waits, once a second; a heartbeat when there is nothing for long."""
        now = asyncio.get_running_loop().time()
        if now - self._flushed_at < 1:
            return
        self._flushed_at = now
        await self.flush()
        if now - self._wrote_at > _HEARTBEAT_S:
            await self._write(sse.HEARTBEAT)

    async def flush(self) -> None:
        """Send what waits."""
        if self.left_out:
            left_out, self.left_out = self.left_out, 0
            await self.write("skipped", left_out)
        said, self._said = self._said, []
        for text in said:
            await self.write("state", text)
        while self._rows:
            await self.write("record", self._rows.popleft())

    async def write(self, kind: str, data: object) -> None:
        """Send one event."""
        await self._write(sse.event_frame(kind, msgspec.json.encode(data)))

    async def _write(self, frame: bytes) -> None:
        self._wrote_at = asyncio.get_running_loop().time()
        async with asyncio.timeout(_TAKEN_WITHIN_S):
            await self._response.write(frame)
