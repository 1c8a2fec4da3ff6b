"""Steady demo traffic through the publishers' HTTP endpoints."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import aiohttp

from trunkline import topology as names
from trunkline.publishing.samples import sample_events
from trunkline.topology import Topology

logger = logging.getLogger(__name__)

PublishBad = Callable[[], Awaitable[None]]

#: What each service publishes in one turn of the demo.
_TURN = (
    ("auth-service", names.AUTH_REGISTERED),
    ("auth-service", names.USER_ACTIVITY),
    ("order-service", names.ORDER_CREATED),
    ("web-service", names.USER_ACTIVITY),
    ("mobile-service", names.USER_ACTIVITY),
    ("notification-service", names.NOTIFICATION_SENT),
)
_USERS = 50
_RETRY_S = 1.0


async def run_demo(
    urls: Mapping[str, str],
    rate_per_s: float,
    topology: Topology,
    publish_bad: PublishBad | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Publish sample events for ever, ``rate_per_s`` in all, through the given publishers.

    Args:
        urls: Base URL of a pod of each publishing service.
        rate_per_s: Events a second, spread over all publishers.
        topology: The topics.
        publish_bad: Called beside each event; publishes a bad one now and then.
        headers: Sent with each event: the token, where one is set.

    """
    samples = {topic: _endless(topology, topic) for _, topic in _TURN}
    pause_s = 1 / rate_per_s
    async with aiohttp.ClientSession(headers=headers) as session:
        for service, topic in itertools.cycle(_TURN):
            if service in urls:
                await _post(session, f"{urls[service]}/events/{topic}", next(samples[topic]))
                if publish_bad is not None:
                    await publish_bad()
                await asyncio.sleep(pause_s)


def _endless(topology: Topology, topic: str) -> Iterator[bytes]:
    while True:
        yield from (
            _as_published(event) for event in sample_events(topology.topic(topic), 10_000, _USERS)
        )


def _as_published(event: bytes) -> bytes:
    """Leave the source to the publisher, which knows its own name."""
    fields: dict[str, Any] = json.loads(event)
    fields.pop("source", None)
    return json.dumps(fields).encode()


async def _post(session: aiohttp.ClientSession, url: str, event: bytes) -> None:
    """Publish one event; a publisher that is away is tried again until it is there."""
    headers = {"Content-Type": "application/json"}
    while True:
        try:
            async with session.post(url, data=event, headers=headers) as answer:
                if answer.status == 202:
                    return
                logger.warning("%s: %s %s", url, answer.status, (await answer.text())[:200])
        except aiohttp.ClientError as error:
            logger.debug("%s: %s", url, error)
        await asyncio.sleep(_RETRY_S)
