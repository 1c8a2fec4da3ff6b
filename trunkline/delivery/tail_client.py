"""Start an aiokafka consumer whose partitions are assigned by hand, and end it whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.offset import OffsetRequest

from trunkline.delivery.header_names import tolerate_any_header_name

_CLOSE_TIMEOUT_S = 1.0
_LATEST, _READ_UNCOMMITTED = -1, 0
_COORDINATOR_TASKS = (
    "_commit_refresh_task",
    "_coordination_task",
    "_heartbeat_task",
    "_reset_committed_task",
)


async def start_client(consumer: Any) -> None:
    """Start a client; it gives up by itself, and leaks a connection when it is cancelled."""
    tolerate_any_header_name()
    starting = asyncio.create_task(consumer.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=_CLOSE_TIMEOUT_S)
        starting.cancel()
        await asyncio.wait({starting})
        raise


async def high_watermarks(consumer: Any, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Ask the leaders for the ends of a topic's partitions, open transactions included.

    A reader of committed records is told the last stable offset instead, which hides what was
    committed behind a transaction that is still open.

    Raises:
        KafkaError: A leader is away, or is none any more.

    """
    client = consumer._client
    wanted: dict[int, list[tuple[int, int]]] = {}
    for partition in partitions:
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node < 0:
            raise LeaderNotAvailableError(f"{topic}[{partition}]")
        wanted.setdefault(node, []).append((partition, _LATEST))
    found: dict[int, int] = {}
    for node, places in wanted.items():
        request = OffsetRequest(-1, _READ_UNCOMMITTED, [(topic, places)])
        # Its own connection: a broker answers in order, and a fetch that finds nothing takes 0.5 s.
        response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
        for _, answers in response.topics:
            for partition, code, *_, offset in answers:
                if code:
                    raise for_code(code)(f"{topic}[{partition}]")
                found[partition] = offset
    return found


def position_of(consumer: Any, place: TopicPartition) -> int | None:
    """Return the offset behind all that a consumer has given out, None when it has none.

    It moves over transaction markers, which are given to nobody.
    """
    subscription = consumer._subscription.subscription
    if subscription is None or place not in subscription.assignment.tps:
        return None
    state = subscription.assignment.state_value(place)
    return int(state.position) if state.has_valid_position else None


async def end_client(consumer: Any) -> None:
    """End a client at once, whether its broker answers or not.

    There is no goodbye to say (no membership, no commit of its own), and its own ``stop`` waits for
    tasks that go on asking an absent broker for as long as the process lives.
    """
    consumer._closed = True
    client, fetcher, coordinator = consumer._client, consumer._fetcher, consumer._coordinator
    client._get_conn = _refuse  # nothing reconnects from here on
    tasks: set[Any] = set(getattr(fetcher, "_pending_tasks", ()))
    tasks.add(getattr(fetcher, "_fetch_task", None))
    tasks.update(getattr(coordinator, name, None) for name in _COORDINATOR_TASKS)
    tasks.discard(None)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_TIMEOUT_S)
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await client.close()


async def _refuse(*args: object, **kwargs: object) -> None:
    """Stand in for a client's ``_get_conn``: no node is ready any more."""
