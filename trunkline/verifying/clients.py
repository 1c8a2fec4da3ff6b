"""Clients of the services' HTTP endpoints: one that publishes, one that listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from models import Event
from trunkline.verifying.workers import WorkerError, WorkerProcess

_CONNECT_TIMEOUT_S = 10.0
_POST_TIMEOUT = aiohttp.ClientTimeout(total=30)


async def post_events(pod: WorkerProcess, topic: str, events: Sequence[Event]) -> int:
    """Post a list of events to a publisher; return how many it has accepted.

    Args:
        pod: A publishing service's pod.
        topic: The plain name.
        events: All of that topic's model.

    Raises:
        WorkerError: It answers anything but 202.

    """
    async with (
        aiohttp.ClientSession(timeout=_POST_TIMEOUT) as session,
        session.post(
            f"{pod.url}/events/{topic}",
            data=msgspec.json.encode(events),
            headers={"Content-Type": "application/json"},
        ) as response,
    ):
        body = await response.read()
        if response.status != 202:
            raise WorkerError(f"{pod.pod} answers {response.status} to {topic}: {body!r}")
        accepted: int = msgspec.json.decode(body)["accepted"]
        return accepted


@asynccontextmanager
async def listening(pod: WorkerProcess, user_id: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Listen to a user's notifications at one pod (server-sent events).

    Yields:
        The notifications that came so far, in their order; it grows.

    Raises:
        WorkerError: The pod does not take the client.

    """
    heard: list[dict[str, Any]] = []
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{pod.url}/notifications/{user_id}") as response,
    ):
        if response.status != 200:
            raise WorkerError(f"{pod.pod} answers {response.status} to a client of {user_id}")
        listener = asyncio.create_task(_listen(response, heard))
        try:
            yield heard
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                await listener


async def _listen(response: aiohttp.ClientResponse, heard: list[dict[str, Any]]) -> None:
    kind = ""
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "notification":
            heard.append(msgspec.json.decode(value))
