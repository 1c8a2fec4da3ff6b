"""Pause and resume a topic or partition of a group, drain and resume a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from trunkline.console.acting import actor_of, counted, needed
from trunkline.console.context import ConsoleContext
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Action, Outcome, Preview, Progress
from trunkline.delivery.pauses import name_of
from trunkline.system import control
from trunkline.system.orders import PauseKey
from trunkline.system.view import SystemView
from trunkline.system.workers import Worker
from trunkline.web.safety.caller import Caller

#: How long it is waited for the pods to say that they have done it.
_OBEYED_S = 15.0
_LOOK_S = 0.2


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """A topic of a group, or one partition of it."""

    group: str
    topic: str
    partition: int | None = None


class PodBody(msgspec.Struct, forbid_unknown_fields=True):
    """A pod, and which process of it is meant: that of the page that was looked at."""

    pod: str
    incarnation: str | None = None


def order_actions(context: ConsoleContext) -> list[Action[Any]]:
    """Return the actions."""
    pausing, draining = _Pausing(context), _Draining(context)
    return [
        Action(
            "control/pause",
            "Pause",
            PauseBody,
            pausing.preview_pause,
            pausing.pause,
            summary="Let a group handle nothing of a topic or partition until it is resumed.",
        ),
        Action(
            "control/resume",
            "Resume",
            PauseBody,
            pausing.preview_resume,
            pausing.resume,
            summary="Let a group go on with a topic or partition.",
        ),
        Action(
            "control/drain",
            "Drain",
            PodBody,
            draining.preview_drain,
            draining.drain,
            summary="Have a pod give its partitions to the others, and wait.",
        ),
        Action(
            "control/undrain",
            "Resume the pod",
            PodBody,
            draining.preview_undrain,
            draining.undrain,
            summary="Have a drained pod join its group again.",
        ),
    ]


class _Pausing:
    """Previews and performs what concerns a topic."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def preview_pause(self, body: PauseBody, caller: Caller) -> Preview:
        """Say what will wait."""
        view, key = self._view(), self._key(body)
        pods = _pods_of(view, key.group)
        is_paused = key in view.orders.pauses or key._replace(partition=None) in view.orders.pauses
        return Preview(
            f"{key} is paused already."
            if is_paused
            else f"{key} will be paused: nothing of it is handled until it is resumed.",
            [
                "What runs ends; nothing is lost, for what is not handled is not committed.",
                "Failed events of it are not tried again meanwhile, and its lag will grow.",
                f"It holds over restarts, on all pods of the group ({len(pods)} now).",
            ],
            confirm="Pause it",
            possible=not is_paused,
        )

    async def preview_resume(self, body: PauseBody, caller: Caller) -> Preview:
        """Say what will go on."""
        view, key = self._view(), self._key(body)
        found = _paused(view, key)
        lag = view.brokers.lag(key.group, key.topic)
        details = [f"{paused} goes on" for paused in found]
        if found and lag is not None:
            details.append(f"{counted(lag, 'event')} of the topic wait for the group.")
        text = f"{key} will go on where it was." if found else f"{key} is not paused."
        return Preview(text, details, confirm="Resume it", possible=bool(found))

    async def pause(self, body: PauseBody, caller: Caller, tell: Progress) -> Outcome:
        """Pause, and wait until the pods say so."""
        return await self._order("pause", control.pause, body, caller, tell)

    async def resume(self, body: PauseBody, caller: Caller, tell: Progress) -> Outcome:
        """Resume, and wait until the pods say so."""
        return await self._order("resume", control.resume, body, caller, tell)

    async def _order(
        self,
        what: str,
        order: Callable[..., Awaitable[control.Outcome]],
        body: PauseBody,
        caller: Caller,
        tell: Progress,
    ) -> Outcome:
        context, view, key = self._context, self._view(), self._key(body)
        audit = needed(context.audit, "audit trail")
        actor = actor_of(caller)
        subject = {"group": key.group, "topic": key.topic, "partition": key.partition}
        async with audit.action(actor, what, subject) as note:
            done = await order(context.settings.connection, context.topology, *key, who=str(actor))
            note.result = {"changed": len(done.changed)}
        if not done.changed:
            return Outcome(f"Nothing was to do: {key} was so already.", count=0)
        wanted = what == "pause"
        name = name_of((key.topic, key.partition))

        def obeys(worker: Worker) -> bool:
            return (name in worker.report.pauses) is wanted

        said, pods = await _obeyed(view, key.group, obeys, tell)
        verb = "is paused" if wanted else "goes on"
        return Outcome(
            f"{key} {verb}: {said} of {counted(pods, 'pod')} say so.",
            list(done.changed),
            count=len(done.changed),
        )

    def _view(self) -> SystemView:
        return needed(self._context.view, "view of the system")

    def _key(self, body: PauseBody) -> PauseKey:
        return control.pause_key(self._context.topology, body.group, body.topic, body.partition)


class _Draining:
    """Previews and performs what concerns a pod."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def preview_drain(self, body: PodBody, caller: Caller) -> Preview:
        """Say what will move, and to whom."""
        worker = self._worker(body)
        report = worker.report
        others = [w for w in self._others(worker) if w.report.state == "working"]
        count = counted(len(report.partitions), "partition")
        details = [
            "It ends what runs, commits, leaves its group and serves on, as not ready.",
            "It is for this process only: after a restart the pod works again.",
        ]
        if others:
            to = f"{counted(len(others), 'pod')} of {report.group}"
            text = f"{report.pod} will give its {count} to {to}."
        else:
            text = f"{report.pod} will give its {count} away, and no other pod takes them."
            details.insert(0, f"Nothing of {report.group} is handled until a pod is there again.")
        possible = report.consumes and report.state == "working"
        if not possible:
            text = f"{report.pod} cannot be drained: it {_why_not(worker)}."
        return Preview(text, details, confirm="Drain it", possible=possible, danger=not others)

    async def preview_undrain(self, body: PodBody, caller: Caller) -> Preview:
        """Say that it will work again."""
        worker = self._worker(body)
        is_out = worker.report.state != "working"
        text = (
            f"{body.pod} will join {worker.report.group} again."
            if is_out
            else f"{body.pod} is not drained."
        )
        return Preview(text, confirm="Resume it", possible=is_out)

    async def drain(self, body: PodBody, caller: Caller, tell: Progress) -> Outcome:
        """Drain, and wait until the pod says so."""
        settings, topology = self._context.settings, self._context.topology
        self._worker(body)

        async def order(who: str) -> control.Outcome:
            return await control.drain(
                settings.connection, topology, body.pod, who=who, incarnation=body.incarnation
            )

        return await self._order("drain", order, body, caller, tell)

    async def undrain(self, body: PodBody, caller: Caller, tell: Progress) -> Outcome:
        """Let it work again, and wait until the pod says so."""
        settings, topology = self._context.settings, self._context.topology
        self._worker(body)

        async def order(who: str) -> control.Outcome:
            return await control.undrain(settings.connection, topology, body.pod, who=who)

        return await self._order("undrain", order, body, caller, tell)

    async def _order(
        self,
        what: str,
        order: Callable[[str], Awaitable[control.Outcome]],
        body: PodBody,
        caller: Caller,
        tell: Progress,
    ) -> Outcome:
        audit = needed(self._context.audit, "audit trail")
        actor = actor_of(caller)
        async with audit.action(actor, what, {"pod": body.pod}) as note:
            done = await order(str(actor))
            note.result = {"changed": len(done.changed)}
        if not done.changed:
            return Outcome(f"Nothing was to do: {body.pod} was so already.", count=0)
        wanted = "drained" if what == "drain" else "working"
        view = needed(self._context.view, "view of the system")

        def obeys(worker: Worker) -> bool:
            return worker.report.pod != body.pod or worker.report.state == wanted

        group = self._worker(body).report.group or ""
        said, pods = await _obeyed(view, group, obeys, tell)
        state = "is drained" if what == "drain" else "works again"
        told = (
            f"{body.pod} {state}."
            if said == pods
            else f"{body.pod} was told, and has not done it yet."
        )
        return Outcome(told, count=len(done.changed))

    def _worker(self, body: PodBody) -> Worker:
        view = needed(self._context.view, "view of the system")
        worker = view.workers.get(body.pod)
        if worker is None:
            raise Refusal(404, f"No pod {body.pod!r} reports.", "Look at the page again.", "$.pod")
        if body.incarnation not in (None, worker.report.incarnation):
            raise Refusal(
                409, f"{body.pod} was restarted meanwhile.", "Look at it again.", "$.incarnation"
            )
        return worker

    def _others(self, worker: Worker) -> list[Worker]:
        view = needed(self._context.view, "view of the system")
        return [w for w in _pods_of(view, worker.report.group or "") if w is not worker]


def _why_not(worker: Worker) -> str:
    if not worker.report.consumes:
        return "is in no group"
    return f"is {worker.report.state}"


def _pods_of(view: SystemView, group: str) -> list[Worker]:
    return [w for w in view.workers.fresh() if w.report.group == group and w.report.consumes]


def _paused(view: SystemView, key: PauseKey) -> Sequence[PauseKey]:
    """Return the pauses that resuming takes back."""
    if key.partition is not None:
        return [key] if key in view.orders.pauses else []
    return [paused for paused in view.orders.pauses if paused[:2] == key[:2]]


async def _obeyed(
    view: SystemView, group: str, obeys: Callable[[Worker], bool], tell: Progress
) -> tuple[int, int]:
    """Wait until the pods of a group report what was ordered; how many do, of how many."""
    deadline = asyncio.get_running_loop().time() + _OBEYED_S
    while True:
        pods = _pods_of(view, group)
        said = sum(1 for worker in pods if obeys(worker))
        tell(said, len(pods), "Waiting for the pods to say that it is done")
        if said == len(pods) or asyncio.get_running_loop().time() > deadline:
            return said, len(pods)
        await asyncio.sleep(_LOOK_S)
