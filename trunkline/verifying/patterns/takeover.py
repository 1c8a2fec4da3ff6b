"""Seed, key features: a pod crashes, a pod restarts."""

from __future__ import annotations

from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registration, registrations
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

#: Kafka's default ``group.min.session.timeout.ms``: it works on any cluster.
_SESSION_TIMEOUT_S = 6
_PART = 500


async def _crash(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods("db-server", 2, TRUNKLINE_SESSION_TIMEOUT_S=str(_SESSION_TIMEOUT_S))
    survivor, victim = pods
    await stage.start(*pods)
    await stage.wait_shared(AUTH_REGISTERED, *pods)
    await stage.publish(AUTH_REGISTERED, registrations(0, _PART))
    await _all_stored(stage, _PART)
    # With the database locked, what is delivered now is in flight until we say so.
    with stage.database("db-server").locked():
        await stage.publish(AUTH_REGISTERED, registrations(_PART, _PART))
        in_flight = await _killed_at_work(stage, victim)
    await stage.publish(AUTH_REGISTERED, registrations(2 * _PART, _PART))

    async def count() -> Counts:
        (seen,) = await stage.look(survivor)
        return {
            "killed_with_events_in_flight": in_flight > 0,
            "partitions_of_the_survivor": len(seen.has(AUTH_REGISTERED)),
            "failed": seen.failed,
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "killed_with_events_in_flight": True,
        "partitions_of_the_survivor": stage.topology.topic(AUTH_REGISTERED).partitions,
        "failed": 0,
        **_stored(3 * _PART),
    }
    return expected, await stage.settle(expected, count)


async def _restart(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods("db-server", 2)
    steady, restarted = pods
    await stage.start(*pods)
    await stage.wait_shared(AUTH_REGISTERED, *pods)
    async with stage.publishing(AUTH_REGISTERED, registration) as sent:
        exit_code = await restarted.stop()
        alone = await _partitions_while_alone(stage, steady)
        await stage.start(restarted)
        await stage.wait_shared(AUTH_REGISTERED, *pods)
        await _handles_something(stage, restarted)

    async def count() -> Counts:
        seen = await stage.look(*pods)
        return {
            "exit_code_of_the_stopped_pod": exit_code,
            "partitions_of_the_other_pod_meanwhile": alone,
            "pods_with_partitions_afterwards": sum(bool(p.has(AUTH_REGISTERED)) for p in seen),
            "partitions_afterwards": sum(len(p.has(AUTH_REGISTERED)) for p in seen),
            "restarted_pod_handles_events": seen[1].handled.get(AUTH_REGISTERED, 0) > 0,
            "failed": sum(p.failed for p in seen),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    partitions = stage.topology.topic(AUTH_REGISTERED).partitions
    expected = {
        "exit_code_of_the_stopped_pod": 0,
        "partitions_of_the_other_pod_meanwhile": partitions,
        "pods_with_partitions_afterwards": 2,
        "partitions_afterwards": partitions,
        "restarted_pod_handles_events": True,
        "failed": 0,
        **_stored(len(sent)),
    }
    return expected, await stage.settle(expected, count)


async def _all_stored(stage: Stage, events: int) -> None:
    await stage.settle(_stored(events), lambda: stage.stored_users(AUTH_REGISTERED))


def _stored(events: int) -> Counts:
    return {"rows": events, "users": events, "committed": events}


async def _killed_at_work(stage: Stage, victim: WorkerProcess) -> int:
    """Kill a pod once it has events in flight; return how many it had."""
    in_flight = 0

    async def count() -> Counts:
        nonlocal in_flight
        (seen,) = await stage.look(victim)
        in_flight = seen.unfinished
        return {"busy": in_flight > 0}

    await stage.settle({"busy": True}, count, timeout_s=15)
    victim.kill()
    return in_flight


async def _partitions_while_alone(stage: Stage, pod: WorkerProcess) -> int:
    async def count() -> Counts:
        (seen,) = await stage.look(pod)
        return {"partitions": len(seen.has(AUTH_REGISTERED))}

    every = {"partitions": stage.topology.topic(AUTH_REGISTERED).partitions}
    partitions: int = (await stage.settle(every, count))["partitions"]
    return partitions


async def _handles_something(stage: Stage, pod: WorkerProcess) -> None:
    async def count() -> Counts:
        (seen,) = await stage.look(pod)
        return {"works": seen.handled.get(AUTH_REGISTERED, 0) > 0}

    await stage.settle({"works": True}, count)


TAKEOVER = Pattern(
    "crashed-pod-taken-over",
    "a crashed pod's partitions are taken over, events in flight included",
    ("db-server",),
    _crash,
)
REBALANCE_IN = Pattern(
    "restarted-pod-rebalances-in",
    "a restarted pod gets partitions again, and nothing is lost meanwhile",
    ("db-server",),
    _restart,
)
