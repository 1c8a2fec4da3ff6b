"""Seed, key features: offsets are committed only after successful processing."""

from __future__ import annotations

import asyncio
import time

from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

_BEFORE = 100
_IN_FLIGHT = 200
_COMMIT_INTERVAL_S = 0.1
#: Ten chances to commit what must not be committed.
_WATCH_S = 10 * _COMMIT_INTERVAL_S


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    (pod,) = stage.pods(
        "db-server",
        1,
        TRUNKLINE_COMMIT_INTERVAL_S=str(_COMMIT_INTERVAL_S),
        TRUNKLINE_SESSION_TIMEOUT_S="6",
    )
    await stage.start(pod)
    await stage.publish(AUTH_REGISTERED, registrations(0, _BEFORE))
    await stage.settle(_stored(_BEFORE), lambda: stage.stored_users(AUTH_REGISTERED))
    # With the database locked, the handler is in the middle of its work until we say so.
    with stage.database("db-server").locked():
        await stage.publish(AUTH_REGISTERED, registrations(_BEFORE, _IN_FLIGHT))
        delivered = await _delivered(stage, pod)
        committed = await _highest_commit(stage)
        pod.kill()
    after_kill = await stage.stored_users(AUTH_REGISTERED)
    await stage.start(pod)

    async def count() -> Counts:
        return {
            "delivered_and_unfinished": delivered,
            "committed_while_unfinished": committed,
            "after_kill_9": after_kill,
            "after_restart": await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "delivered_and_unfinished": _IN_FLIGHT,
        "committed_while_unfinished": _BEFORE,
        "after_kill_9": _stored(_BEFORE),
        "after_restart": _stored(_BEFORE + _IN_FLIGHT),
    }
    return expected, await stage.settle(expected, count)


def _stored(events: int) -> Counts:
    return {"rows": events, "users": events, "committed": events}


async def _delivered(stage: Stage, pod: WorkerProcess) -> int:
    async def count() -> Counts:
        (seen,) = await stage.look(pod)
        return {"unfinished": seen.unfinished}

    found = await stage.settle({"unfinished": _IN_FLIGHT}, count, timeout_s=10)
    unfinished: int = found["unfinished"]
    return unfinished


async def _highest_commit(stage: Stage) -> int:
    """Watch what is committed over several commit intervals; return the most."""
    highest = 0
    until = time.monotonic() + _WATCH_S
    while time.monotonic() < until:
        highest = max(highest, await stage.committed("db-server", AUTH_REGISTERED))
        await asyncio.sleep(_COMMIT_INTERVAL_S / 2)
    return highest


COMMIT_AFTER_PROCESSING = Pattern(
    "commit-after-processing",
    "offsets are committed only after processing: kill -9 in the middle loses nothing",
    ("db-server",),
    _play,
)
