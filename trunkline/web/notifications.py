"""``GET /notifications/{userId}``: every notification of a user, to each of its clients (SSE).

    curl -N http://127.0.0.1:8080/notifications/12345

    id: 0-17
    event: notification
    data: {"userId":"12345","message":"Welcome"}

The ``id`` is ``partition-offset`` in the topic that the pod reads. A client that reconnects with it
(``Last-Event-ID``, or ``?lastEventId=``), at any pod, gets what it missed; ``event: gap`` says that
there may have been more than is still known. A notification may come twice after a gap, then with
the same id. Who may read whose notifications is not decided here: put it behind your gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from models import NotificationSent
from trunkline.cloudevents.kafka import data_of
from trunkline.web import sse
from trunkline.web.replay import ReplayBuffer
from trunkline.web.stream import ClientStream

_MAX_USER_ID = 256
_MAX_EVENT_ID = 64
_SWEEP_S = 1.0
_GOODBYE_S = 1.0


@dataclass(frozen=True)
class HubLimits:
    """What one pod spends on its clients.

    Attributes:
        clients: Most connected clients; one more gets 503.
        queue: Most notifications that wait for one client, and
        queue_bytes: most bytes; a client that has more is disconnected, and catches up when it
            reconnects.
        replay: Most notifications, of all users, that are kept for clients that reconnect, and
        replay_bytes: most memory for them, about.
        heartbeat_s: How long a stream is silent before a comment is sent.

    """

    clients: int = 10_000
    queue: int = 1_000
    queue_bytes: int = 8 * 1024 * 1024
    replay: int = 10_000
    replay_bytes: int = 64 * 1024 * 1024
    heartbeat_s: float = 15.0


class NotificationHub:
    """Connects what the pod's receiver reads with the clients that are connected to the pod.

    Start and stop it with the web server, stop it first: it ends all streams.

    Args:
        limits: See there.
        is_ready: Whether the pod reads; until then clients get 503, for they would miss what comes.

    """

    def __init__(
        self, limits: HubLimits | None = None, is_ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._limits = limits or HubLimits()
        self._is_ready = is_ready
        self._replay = ReplayBuffer(self._limits.replay, self._limits.replay_bytes)
        self._by_user: dict[str, set[ClientStream]] = {}
        self._clients: set[ClientStream] = set()
        self._opening = 0
        self._sweeper: asyncio.Task[None] | None = None
        self._is_closing = False
        self._all_left = asyncio.Event()
        self._counts = dict.fromkeys(("pushed", "replayed", "gaps", "dropped_slow", "refused"), 0)
        self._connections = 0

    def routes(self) -> list[web.RouteDef]:
        """Return the hub's routes, for the worker's web application."""
        return [web.get("/notifications/{userId:.*}", self._get, allow_head=False)]

    def stats(self) -> dict[str, int]:
        """Return connected clients, what was pushed, and what is kept, for ``/stats``."""
        return {
            "clients": len(self._clients),
            "users": len(self._by_user),
            **self._counts,
            "buffered": len(self._replay),
            "buffered_bytes": self._replay.size_bytes,
        }

    def on_notification(self, record: Any, event: NotificationSent) -> None:
        """Push a notification to the clients of its user; the receiver's callback.

        Args:
            record: As aiokafka gives it: partition, offset and the value, which is sent on as it
                is, with the fields that we do not know; of a CloudEvent, its data.
            event: The decoded value.

        """
        data = data_of(record.headers, record.value) or b""
        frame = sse.event_frame("notification", data, f"{record.partition}-{record.offset}")
        self._replay.add(record.partition, record.offset, event.user_id, frame)
        for client in tuple(self._by_user.get(event.user_id, ())):
            self._push(client, frame)

    async def start(self) -> None:
        """Begin to watch over the clients."""
        self._is_closing = False
        self._all_left.clear()
        self._sweeper = asyncio.create_task(self._sweep_forever())

    async def stop(self) -> None:
        """End all streams, within about a second; clients reconnect, to another pod."""
        self._is_closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for client in self._clients:
            client.end()
        if self._clients:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_left.wait(), _GOODBYE_S)
        for client in tuple(self._clients):
            client.abort()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        user_id = request.match_info["userId"]
        if not 1 <= len(user_id) <= _MAX_USER_ID:
            return _error(
                400, f"userId has {len(user_id)} characters; 1 to {_MAX_USER_ID} are taken"
            )
        reason = self._why_not()
        if reason:
            self._counts["refused"] += 1
            return _error(503, reason)
        response = web.StreamResponse(headers=sse.HEADERS)
        response.force_close()
        self._opening += 1
        try:
            await response.prepare(request)
        finally:
            self._opening -= 1
        if request.transport is not None and not self._is_closing:
            await self._serve(user_id, request, request.transport, response)
        return response

    def _why_not(self) -> str:
        if self._is_closing:
            return "this pod is stopping; reconnect to another"
        if not self._is_ready():
            return "this pod does not read notifications yet; try again in a second"
        if len(self._clients) + self._opening >= self._limits.clients:
            return f"this pod has its {self._limits.clients} clients; reconnect to another"
        return ""

    async def _serve(
        self,
        user_id: str,
        request: web.Request,
        transport: asyncio.Transport,
        response: web.StreamResponse,
    ) -> None:
        limits = self._limits
        client = ClientStream(user_id, transport, limits.queue, limits.queue_bytes)
        # Nothing awaits in between, so no notification is in both, or in neither.
        first = self._greeting(_last_event_id(request), user_id)
        self._clients.add(client)
        self._by_user.setdefault(user_id, set()).add(client)
        client.pushed_at = asyncio.get_running_loop().time()
        try:
            await client.write_to(response, first)
        finally:
            self._remove(client)

    def _greeting(self, last_id: str, user_id: str) -> list[bytes]:
        """Return what a stream begins with; its last frame tells the client where it is."""
        self._connections += 1
        # 1 to 3 s, each client another: they do not all come back in the same moment.
        frames = [sse.retry_frame(1000 + self._connections * 617 % 2000)]
        if last_id:
            missed, is_complete = self._replay.since(last_id, user_id)
            if not is_complete:
                self._counts["gaps"] += 1
                frames.append(sse.event_frame("gap", msgspec.json.encode({"lastEventId": last_id})))
            self._counts["replayed"] += len(missed)
            frames += missed
        frames.append(sse.marker_frame(self._replay.last_id))
        return frames

    def _push(self, client: ClientStream, frame: bytes) -> None:
        if client.push(frame):
            client.pushed_at = asyncio.get_running_loop().time()
            self._counts["pushed"] += 1
            return
        self._counts["dropped_slow"] += 1
        self._remove(client)
        client.abort()

    def _remove(self, client: ClientStream) -> None:
        self._clients.discard(client)
        mine = self._by_user.get(client.user_id)
        if mine is not None:
            mine.discard(client)
            if not mine:
                del self._by_user[client.user_id]
        if not self._clients and self._is_closing:
            self._all_left.set()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._limits.heartbeat_s))
            self._sweep()

    def _sweep(self) -> None:
        """Part with clients that are gone, and keep the quiet streams alive.

        The heartbeat carries the newest id, of whichever user: a client that has had nothing for a
        day still resumes from what is kept.
        """
        frame = sse.HEARTBEAT + sse.marker_frame(self._replay.last_id)
        now = asyncio.get_running_loop().time()
        for client in tuple(self._clients):
            if client.is_gone:
                client.end()
            elif client.is_idle and now - client.pushed_at >= self._limits.heartbeat_s:
                client.push(frame)
                client.pushed_at = now


def _last_event_id(request: web.Request) -> str:
    given = request.headers.get("Last-Event-ID") or request.query.get("lastEventId", "")
    # Headers come with what was no UTF-8 in them, which JSON cannot say.
    return given[:_MAX_EVENT_ID].encode(errors="replace").decode()


def _error(status: int, reason: str) -> web.Response:
    headers = {"Retry-After": "1"} if status == 503 else {}
    return web.json_response({"error": reason}, status=status, headers=headers)
