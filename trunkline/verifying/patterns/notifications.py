"""Seed, section 3: every pod gets every notification, by both of its solutions."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from trunkline.topology import NOTIFICATION_SENT
from trunkline.verifying.clients import listening
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import notifications
from trunkline.verifying.stage import Stage

_PODS = 3
_USERS = ("user-1", "user-2")
_EACH = 50


async def _fanout(stage: Stage) -> tuple[Counts, Counts]:
    return await _play(stage, "fanout")


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
            return {
                pod: {user: _tally(messages, user) for user, messages in of_users.items()}
                for pod, of_users in heard.items()
            }

        full = {"heard": _EACH, "in_order": True, "of_others": 0}
        expected = {pod.pod: dict.fromkeys(_USERS, full) for pod in pods}
        return expected, await stage.settle(expected, count)


def _tally(messages: list[dict[str, Any]], user: str) -> Counts:
    texts = [message["message"] for message in messages]
    return {
        "heard": len(texts),
        "in_order": texts == [str(number) for number in range(_EACH)],
        "of_others": sum(message["userId"] != user for message in messages),
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
