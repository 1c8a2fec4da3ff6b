"""DESIGN section 3: a dependency outage is no poison; events wait, uncommitted."""

from __future__ import annotations

from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.operator import dead_letters
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

_EVENTS = 300
_JUDGED = 20


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    (pod,) = stage.pods(
        "db-server",
        1,
        TRUNKLINE_BREAKER_MIN_ATTEMPTS=str(_JUDGED),
        TRUNKLINE_BREAKER_LONGEST_PAUSE_S="1",
        TRUNKLINE_RETRY_BACKOFF="fixed:0.5",
    )
    await stage.start(pod)
    waits = {"breaker_open": True, "most_events_wait": True}
    with stage.database("db-server").refusing("registered_users"):
        await stage.publish(AUTH_REGISTERED, registrations(0, _EVENTS))
        meanwhile = await stage.settle(waits, lambda: _look(stage, pod))

    async def count() -> Counts:
        return {
            **meanwhile,
            "breaker_open_afterwards": (await _look(stage, pod))["breaker_open"],
            "dead_letters": len(await dead_letters(stage, AUTH_REGISTERED)),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        **waits,
        "breaker_open_afterwards": False,
        "dead_letters": 0,
        "rows": _EVENTS,
        "users": _EVENTS,
        "committed": _EVENTS,
    }
    return expected, await stage.settle(expected, count)


async def _look(stage: Stage, pod: WorkerProcess) -> Counts:
    stats = await pod.stats()
    breaker = stats["topics"][stage.topology.topic(AUTH_REGISTERED).name]["breaker"]
    return {
        "breaker_open": breaker["state"] != "closed",
        "most_events_wait": (stats["lag"] or 0) > _EVENTS / 2,
    }


OUTAGE = Pattern(
    "dependency-away-nothing-lost",
    "while the database refuses everything, events wait uncommitted; none becomes a dead letter",
    ("db-server",),
    _play,
)
