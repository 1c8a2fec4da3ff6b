"""Seed, section 4: a pod that comes back within the session timeout causes no rebalance."""

from __future__ import annotations

import time

from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registration
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

_SESSION_TIMEOUT_S = 30
_FLAPS = 2


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods(
        "db-server",
        2,
        TRUNKLINE_STATIC_MEMBERSHIP="true",
        TRUNKLINE_SESSION_TIMEOUT_S=str(_SESSION_TIMEOUT_S),
    )
    await stage.start(*pods)
    await stage.wait_shared(AUTH_REGISTERED, *pods)
    before = await stage.look(*pods)
    async with stage.publishing(AUTH_REGISTERED, registration) as sent:
        away_s = [await _flap(stage, pods[1]) for _ in range(_FLAPS)]

    async def count() -> Counts:
        after = await stage.look(*pods)
        return {
            "kills": len(away_s),
            "back_within_the_session_timeout": max(away_s) < _SESSION_TIMEOUT_S,
            "rebalances_of_the_other_pod": after[0].rebalances - before[0].rebalances,
            "partitions_that_moved": len(
                before[0].has(AUTH_REGISTERED) ^ after[0].has(AUTH_REGISTERED)
            )
            + len(before[1].has(AUTH_REGISTERED) ^ after[1].has(AUTH_REGISTERED)),
            "failed": sum(pod.failed for pod in after),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "kills": _FLAPS,
        "back_within_the_session_timeout": True,
        "rebalances_of_the_other_pod": 0,
        "partitions_that_moved": 0,
        "failed": 0,
        "rows": len(sent),
        "users": len(sent),
        "committed": len(sent),
    }
    return expected, await stage.settle(expected, count)


async def _flap(stage: Stage, pod: WorkerProcess) -> float:
    """Kill a pod and start it again; return how many seconds its group was without it."""
    began = time.monotonic()
    pod.kill()
    await stage.start(pod)
    away_s = time.monotonic() - began

    async def count() -> Counts:
        (seen,) = await stage.look(pod)
        return {"works": seen.handled.get(AUTH_REGISTERED, 0) > 0}

    await stage.settle({"works": True}, count)
    return away_s


FLAPPING = Pattern(
    "flapping-pod-no-rebalance",
    "a pod with static membership that is back within 30 s causes no rebalance",
    ("db-server",),
    _play,
)
