"""Start an aiokafka consumer whose partitions are assigned by hand, and end it whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka.errors import KafkaError

from trunkline.delivery.header_names import tolerate_any_header_name

_CLOSE_TIMEOUT_S = 1.0
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
