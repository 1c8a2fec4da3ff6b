"""Seed, publisher side: several instances of one service, and several services, on one topic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from models import ActivityRecorded, Event
from trunkline.topology import AUTH_REGISTERED, USER_ACTIVITY
from trunkline.verifying.clients import post_events
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

_REQUESTS = 10
_PER_REQUEST = 50
_EACH = _REQUESTS * _PER_REQUEST

_ACTIVITIES = {
    "auth-service": "auth_success",
    "web-service": "page_view",
    "mobile-service": "app_launch",
}


async def _several_publishers(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods("auth-service", 2)
    await stage.start(*pods)
    accepted = await asyncio.gather(
        *(
            _post_in_parts(pod, AUTH_REGISTERED, registrations(number * _EACH, _EACH))
            for number, pod in enumerate(pods)
        )
    )
    records = await stage.observer.read_all(stage.topology.topic(AUTH_REGISTERED).name)
    users = Counter(msgspec.json.decode(record.value)["userId"] for record in records)
    expected = {
        "accepted": {pod.pod: _EACH for pod in pods},
        "records": 2 * _EACH,
        "events_there_once": 2 * _EACH,
    }
    counted = {
        "accepted": {pod.pod: count for pod, count in zip(pods, accepted, strict=True)},
        "records": len(records),
        "events_there_once": sum(count == 1 for count in users.values()),
    }
    return expected, counted


async def _fan_in(stage: Stage) -> tuple[Counts, Counts]:
    publishers = [stage.pods(service, 1)[0] for service in _ACTIVITIES]
    processors = stage.pods("activity-processor", 2)
    await stage.start(*publishers, *processors)
    await stage.wait_shared(USER_ACTIVITY, *processors)
    await asyncio.gather(
        *(
            _post_in_parts(pod, USER_ACTIVITY, _activities(_ACTIVITIES[pod.service], pod.service))
            for pod in publishers
        )
    )

    async def count() -> Counts:
        found: Counter[str] = Counter()
        for stats in await asyncio.gather(*(pod.stats() for pod in processors)):
            for row in stats["activity"]:
                found[_label(row["event"], row["source"])] += row["count"]
        seen = await stage.look(*processors)
        return {
            "counts": dict(sorted(found.items())),
            "handled": sum(pod.handled.get(USER_ACTIVITY, 0) for pod in seen),
            "pods_at_work": sum(pod.handled.get(USER_ACTIVITY, 0) > 0 for pod in seen),
            "failed": sum(pod.failed for pod in seen),
        }

    expected = {
        "counts": {_label(e, s): _EACH for s, e in sorted(_ACTIVITIES.items(), key=_by_event)},
        "handled": len(_ACTIVITIES) * _EACH,
        "pods_at_work": 2,
        "failed": 0,
    }
    return expected, await stage.settle(expected, count)


async def _post_in_parts(pod: WorkerProcess, topic: str, events: Sequence[Event]) -> int:
    """Post events in several requests at once; return how many were accepted."""
    parts = [events[i : i + _PER_REQUEST] for i in range(0, len(events), _PER_REQUEST)]
    return sum(await asyncio.gather(*(post_events(pod, topic, part) for part in parts)))


def _activities(event: str, source: str) -> list[ActivityRecorded]:
    return [
        ActivityRecorded(event=event, user_id=f"user-{number}", source=source)
        for number in range(_EACH)
    ]


def _label(event: str, source: str) -> str:
    return f"{event} of {source}"


def _by_event(activity: tuple[str, str]) -> str:
    return activity[1]


SEVERAL_PUBLISHERS = Pattern(
    "several-publishers-one-topic",
    "several publishers on one topic: what they accepted is there, once",
    ("auth-service",),
    _several_publishers,
)
FAN_IN = Pattern(
    "fan-in-from-three-services",
    "three services publish to one topic, and one group counts it all",
    (*_ACTIVITIES, "activity-processor"),
    _fan_in,
)
