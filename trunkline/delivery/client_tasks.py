"""Are the tasks of a consumer's client alive? Nobody would start one of them again.

aiokafka's consumer is three loops: one knows the cluster, one keeps its place in the group, one
fetches. When one of them ends, by whatever mistake, the others go on: a worker that has lost its
place fetches and handles what others have by then, for as long as it lives. So its process ends
instead, and its supervisor starts it anew (issue 6: a soak of 30 minutes found one such mistake).
"""

from __future__ import annotations

import asyncio
from typing import Any

from trunkline.errors import TrunklineError


class DeadClientError(TrunklineError):
    """A task of the client has ended, and the client with it."""


def require_living_tasks(consumer: Any) -> None:
    """Look whether a client that was started and not stopped does all of its work.

    May be called from another thread than the client's.

    Raises:
        DeadClientError: It does not; the cause is what ended its task.

    """
    if consumer._closed:
        return
    tasks: dict[str, asyncio.Task[Any] | None] = {
        "what knows the cluster": consumer._client._sync_task,
        "what keeps its place in the group": getattr(
            consumer._coordinator, "_coordination_task", None
        ),
        "what fetches": getattr(consumer._fetcher, "_fetch_task", None),
    }
    for what, task in tasks.items():
        if task is not None and task.done():
            cause = None if task.cancelled() else task.exception()
            raise DeadClientError(
                f"The Kafka client of this worker has stopped working ({what} has ended: "
                f"{cause!r}). The worker ends, to be started anew."
            ) from cause
