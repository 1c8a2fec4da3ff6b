"""Seed, section 3: every pod gets every notification, by both of its solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from trunkline.topology import NOTIFICATION_FANOUT, NOTIFICATION_SENT
from trunkline.verifying.clients import listening
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import notifications
from trunkline.verifying.stage import Stage

_PODS = 3
_USERS = ("user-1", "user-2")
_EACH = 50


async def _fanout(stage: Stage) -> tuple[Counts, Counts]:
    expected, counted = await _play(stage, "fanout")
    relayed = await stage.observer.read_all(stage.topology.topic(NOTIFICATION_FANOUT).name)
    sent = len(_USERS) * _EACH
    return {**expected, "relayed": sent}, {**counted, "relayed": len(relayed)}


async def _direct(stage: Stage) -> tuple[Counts, Counts]:
    return await _play(stage, "direct")


async def _play(stage: Stage, solution: str) -> tuple[Counts, Counts]:
    pods = stage.pods("notification-service", _PODS, TRUNKLINE_NOTIFICATIONS=solution)
    await stage.start(*pods)
    async with AsyncExitStack() as stack:
        heard = {
            pod.pod: {
                user: await stack.enter_async_context(listening(pod, user)) for user in _USERS
            }
            for pod in pods
        }
        for user in _USERS:
            await stage.publish(NOTIFICATION_SENT, notifications(user, _EACH))

        async def count() -> Counts:
            return {pod: _tally(of_users) for pod, of_users in heard.items()}

        expected = {
            pod.pod: {**dict.fromkeys(_USERS, _EACH), "in_order": True, "of_other_users": 0}
            for pod in pods
        }
        return expected, await stage.settle(expected, count)


def _tally(heard: Mapping[str, Sequence[Mapping[str, Any]]]) -> Counts:
    """Count what the clients of one pod heard, by their users."""
    in_order = [str(number) for number in range(_EACH)]
    return {
        **{user: len(messages) for user, messages in heard.items()},
        "in_order": all([m["message"] for m in found] == in_order for found in heard.values()),
        "of_other_users": sum(m["userId"] != user for user, found in heard.items() for m in found),
    }


FANOUT = Pattern(
    "every-pod-notified-fanout",
    "every pod gets every notification: one pod relays to a topic that all read",
    ("notification-service",),
    _fanout,
)
DIRECT = Pattern(
    "every-pod-notified-direct",
    "every pod gets every notification: a group for each pod",
    ("notification-service",),
    _direct,
)
