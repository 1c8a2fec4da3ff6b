"""Seed, section 1: separate groups per service, one group for the pods of a service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trunkline.delivery.producer import RecordMetadata
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.snapshot import Snapshot
from trunkline.verifying.stage import Stage

_SERVICES = ("db-server", "engine")
_PODS = 2
_EVENTS = 600


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    pods = {service: stage.pods(service, _PODS) for service in _SERVICES}
    await stage.start(*pods["db-server"], *pods["engine"])
    for of_service in pods.values():
        await stage.wait_shared(AUTH_REGISTERED, *of_service)
    sent = await stage.publish(AUTH_REGISTERED, registrations(0, _EVENTS))

    async def count() -> Counts:
        return {
            service: await _tally(stage, service, await stage.look(*pods[service]), sent)
            for service in _SERVICES
        }

    expected = {
        service: {
            "handled": _EVENTS,
            "rows": _EVENTS,
            "committed": _EVENTS,
            "failed": 0,
            "pods_at_work": _PODS,
            "partitions_with_two_pods": 0,
            "pods_that_handled_other_than_their_partitions": 0,
        }
        for service in _SERVICES
    }
    return expected, await stage.settle(expected, count)


async def _tally(
    stage: Stage, service: str, pods: Sequence[Snapshot], sent: Sequence[RecordMetadata]
) -> Counts:
    held = Counter(partition for pod in pods for partition in pod.has(AUTH_REGISTERED))
    handled = {pod.pod: pod.handled.get(AUTH_REGISTERED, 0) for pod in pods}
    return {
        "handled": sum(handled.values()),
        "rows": _rows(stage, service),
        "committed": await stage.committed(service, AUTH_REGISTERED),
        "failed": sum(pod.failed for pod in pods),
        "pods_at_work": sum(count > 0 for count in handled.values()),
        "partitions_with_two_pods": sum(count > 1 for count in held.values()),
        "pods_that_handled_other_than_their_partitions": sum(
            handled[pod.pod] != _events_in(pod.has(AUTH_REGISTERED), sent) for pod in pods
        ),
    }


def _rows(stage: Stage, service: str) -> int:
    database = stage.database(service)
    if service == "db-server":
        return database.users()["users"]
    return database.events(stage.topology.topic(AUTH_REGISTERED).name)


def _events_in(partitions: frozenset[int], sent: Sequence[RecordMetadata]) -> int:
    return sum(place.partition in partitions for place in sent)


SHARING = Pattern(
    "each-service-gets-every-event",
    "each service gets every event, and its pods share them without overlap",
    _SERVICES,
    _play,
)
