"""Seed, key features: failed events are retried, and their counts outlive the pod."""

from __future__ import annotations

from typing import Any

from models import UserRegistered
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.operator import dead_letters, run_command, waiting_events
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.stage import Stage

_USER = "user-0"
_EVENTS = 200
#: The same user again, behind the event that fails.
_BEHIND = 2
_TABLE = "registered_users"
_NEVER_S = 3600
#: Two retries at once, and the third one when it is told to.
_RETRY = {"TRUNKLINE_RETRY_BACKOFF": f"list:0.2,0.2,{_NEVER_S}"}


async def _retried(stage: Stage) -> tuple[Counts, Counts]:
    (pod,) = stage.pods("db-server", 1, **_RETRY)
    await stage.start(pod)
    with stage.database("db-server").refusing(_TABLE, _USER):
        await _publish(stage)
        meanwhile = await stage.settle(_meanwhile(), lambda: _look(stage))
    await run_command(stage, "retries", "now")

    async def count() -> Counts:
        topics = (await pod.stats())["topics"]
        found = topics[stage.topology.topic(AUTH_REGISTERED).name]
        return {
            **meanwhile,
            "recovered_afterwards": found["recovered"],
            "dead_letters": len(await dead_letters(stage, AUTH_REGISTERED)),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        **_meanwhile(),
        "recovered_afterwards": 1 + _BEHIND,
        "dead_letters": 0,
        "rows": _EVENTS + _BEHIND,
        "users": _EVENTS,
        "committed": _EVENTS + _BEHIND,
    }
    return expected, await stage.settle(expected, count)


async def _killed(stage: Stage) -> tuple[Counts, Counts]:
    first, second = stage.pods("db-server", 2, **_RETRY, TRUNKLINE_SESSION_TIMEOUT_S="6")
    await stage.start(first)
    with stage.database("db-server").refusing(_TABLE, _USER):
        await _publish(stage)
        await stage.settle(_meanwhile(), lambda: _look(stage))
        (before,) = await _heads(stage)
        first.kill()
        await stage.start(second)  # with a data folder of its own: what it knows, Kafka told it
        (after,) = await _heads(stage)
    await run_command(stage, "retries", "now")

    async def count() -> Counts:
        return {
            "failed_attempts_before_kill_9": before["attempts"],
            "failed_attempts_known_to_the_next_pod": after["attempts"],
            "due_at_the_same_time": before["due_at_ms"] == after["due_at_ms"],
            "dead_letters": len(await dead_letters(stage, AUTH_REGISTERED)),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "failed_attempts_before_kill_9": 3,
        "failed_attempts_known_to_the_next_pod": 3,
        "due_at_the_same_time": True,
        "dead_letters": 0,
        "rows": _EVENTS + _BEHIND,
        "users": _EVENTS,
        "committed": _EVENTS + _BEHIND,
    }
    return expected, await stage.settle(expected, count)


async def _publish(stage: Stage) -> None:
    await stage.publish(AUTH_REGISTERED, registrations(0, _EVENTS))
    again = [UserRegistered(user_id=_USER, email=f"{n}@example.com") for n in range(_BEHIND)]
    await stage.publish(AUTH_REGISTERED, again)


def _meanwhile() -> Counts:
    """Return what is to be seen while a user's rows are refused: nobody else waits."""
    return {
        "failed_attempts": [1 + 2],
        "parked_behind_it": _BEHIND,
        "others_stored": _EVENTS - 1,
    }


async def _look(stage: Stage) -> Counts:
    waiting = await waiting_events(stage, "db-server")
    return {
        "failed_attempts": [event["attempts"] for event in waiting if event["attempts"]],
        "parked_behind_it": sum(event["status"] == "parked" for event in waiting),
        "others_stored": stage.database("db-server").users()["rows"],
    }


async def _heads(stage: Stage) -> list[dict[str, Any]]:
    """Return what waits for a time, not for an earlier event."""
    return [event for event in await waiting_events(stage, "db-server") if event["attempts"]]


RETRIED = Pattern(
    "failed-event-retried",
    "an event that fails is tried again; its user's later events wait, others do not",
    ("db-server",),
    _retried,
)
KILLED = Pattern(
    "killed-pod-keeps-retries",
    "after kill -9 and on an empty disk, the next pod knows each attempt",
    ("db-server",),
    _killed,
)
