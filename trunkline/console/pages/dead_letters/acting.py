"""Redrive, edit and discard dead letters: the work is that of ``trunkline dlq``."""

from __future__ import annotations

from typing import Any

import msgspec

from trunkline.console.acting import actor_of, counted, needed
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.dead_letters.finding import find_letter
from trunkline.console.pages.dead_letters.orders import (
    DiscardOrder,
    EditOrder,
    RedriveOrder,
    StopOrder,
    Words,
    wanted_of,
)
from trunkline.console.pages.records import unmasked
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Action, Outcome, Preview, Progress
from trunkline.dead_letters.edit import EditedSource, check_edited
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.redrive import Guard
from trunkline.dead_letters.runs import Runs, RunState
from trunkline.dead_letters.sources import ScanSource, Source
from trunkline.dead_letters.work import Job
from trunkline.web.safety.caller import Caller

_THING = "dead letter"


class Acting:
    """Previews and performs the actions on dead letters."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    def actions(self) -> list[Action[Any]]:
        """Return all of them."""
        return [
            Action(
                "dead-letters/redrive",
                "Redrive dead letters",
                RedriveOrder,
                self.preview_redrive,
                self.redrive,
                summary="Give dead letters back to the groups that failed them, each once.",
            ),
            Action(
                "dead-letters/discard",
                "Discard dead letters",
                DiscardOrder,
                self.preview_discard,
                self.discard,
                summary="Note that nothing more is to be done with dead letters.",
            ),
            Action(
                "dead-letters/edit",
                "Edit and redrive",
                EditOrder,
                self.preview_edit,
                self.edit,
                summary="Redrive one dead letter with another payload, checked by its model.",
                max_body_bytes=8 * 1024 * 1024,
            ),
            Action(
                "dead-letters/stop",
                "Stop a run",
                StopOrder,
                self.preview_stop,
                self.stop,
                summary="Stop a redrive or discard after the transaction that is on its way.",
            ),
        ]

    # -- redrive

    async def preview_redrive(self, order: RedriveOrder, caller: Caller) -> Preview:
        """Say what would go where."""
        planned = await self._runs.plan(
            _name("redrive", order, caller),
            self._redrive_job(order),
            self._source(order),
            order.limit,
        )
        return _preview_of(planned.plan, "redriven", order.rate)

    async def redrive(self, order: RedriveOrder, caller: Caller, tell: Progress) -> Outcome:
        """Do it."""
        state = await self._runs.perform(
            _name("redrive", order, caller),
            self._redrive_job(order),
            self._source(order),
            actor_of(caller),
            tell,
            rate=order.rate,
            limit=order.limit,
        )
        return _outcome_of(state, "redriven")

    # -- discard

    async def preview_discard(self, order: DiscardOrder, caller: Caller) -> Preview:
        """Say what would be discarded."""
        planned = await self._runs.plan(
            _name("discard", order, caller),
            self._discard_job(),
            self._source(order),
            order.limit,
        )
        return _preview_of(planned.plan, "discarded", None)

    async def discard(self, order: DiscardOrder, caller: Caller, tell: Progress) -> Outcome:
        """Do it."""
        state = await self._runs.perform(
            _name("discard", order, caller),
            self._discard_job(),
            self._source(order),
            actor_of(caller),
            tell,
            limit=order.limit,
        )
        return _outcome_of(state, "discarded")

    # -- edit

    async def preview_edit(self, order: EditOrder, caller: Caller) -> Preview:
        """Check the payload, and say where it would go."""
        source, notes = await self._edited(order)
        planned = await self._runs.plan(
            _name("edit", order, caller), self._edit_job(order), source, None
        )
        return _preview_of(planned.plan, "redriven", None, ["The payload fits its model.", *notes])

    async def edit(self, order: EditOrder, caller: Caller, tell: Progress) -> Outcome:
        """Do it."""
        source, _ = await self._edited(order)
        state = await self._runs.perform(
            _name("edit", order, caller),
            self._edit_job(order),
            source,
            actor_of(caller),
            tell,
            action="dlq.edit",
        )
        return _outcome_of(state, "redriven")

    async def _edited(self, order: EditOrder) -> tuple[EditedSource, list[str]]:
        found = await find_letter(self._context, order.id)
        value = unmasked(self._context, found.letter.value, order.value.encode())
        notes = check_edited(found, value, self._context.topology)
        return EditedSource(found, value), notes

    # -- stop

    async def preview_stop(self, order: StopOrder, caller: Caller) -> Preview:
        """Say what stays done."""
        run = self._run(order)
        return Preview(
            f"The run ends after the transaction that is on its way; {run.done:,} of "
            f"{run.total:,} dead letters are done, and stay done. Doing the same again goes on "
            "where it was stopped.",
            count=1,
            confirm="Stop it",
        )

    async def stop(self, order: StopOrder, caller: Caller, tell: Progress) -> Outcome:
        """Stop it."""
        audit = needed(self._context.audit, "audit trail")
        run = self._run(order)
        what = {"run": run.id, "of": run.audit, "action": run.action}
        async with audit.action(actor_of(caller), "dlq.stop", what):
            self._runs.stop(order.run)
        return Outcome("The run was told to stop.", count=1)

    def _run(self, order: StopOrder) -> RunState:
        for run in self._runs.all():
            if run.id == order.run and not run.is_over:
                return run
        raise Refusal(404, f"Run {order.run} does not run here: it has ended, or never was.")

    # -- the parts

    @property
    def _runs(self) -> Runs:
        return needed(self._context.runs, "way to act on dead letters")

    def _source(self, words: Words) -> Source:
        context = self._context
        return ScanSource(context.settings, context.topology, wanted_of(words, context.topology))

    def _redrive_job(self, order: RedriveOrder) -> Job:
        context = self._context
        guard = Guard(context.topology, order.max_redrives, order.force)
        return Job("redriven", context.settings, context.topology, guard)

    def _edit_job(self, order: EditOrder) -> Job:
        context = self._context
        guard = Guard(context.topology, force=order.force)
        return Job("redriven", context.settings, context.topology, guard)

    def _discard_job(self) -> Job:
        return Job("discarded", self._context.settings, self._context.topology, None)


def _name(action: str, order: msgspec.Struct, caller: Caller) -> str:
    """Name an order: the plan that was shown to somebody is the one that they confirm."""
    return f"{action} {caller} {msgspec.json.encode(order).decode()}"


def _preview_of(
    plan: Plan, what: str, rate: float | None, notes: list[str] | None = None
) -> Preview:
    details = list(notes or [])
    if what == "redriven":
        details += [
            f"{count:,} of {topic} to {group} (by {to})"
            for (to, group, topic), count in plan.going.most_common(20)
        ]
        details += [plan.warning()] if plan.invalid else []
    details += [f"{count:,} not: {reason}" for reason, count in plan.refused.most_common(20)]
    if rate and plan.count:
        details.append(f"At {rate:g} a second it takes about {plan.count / rate:,.0f} s.")
    verb = "Redrive" if what == "redriven" else "Discard"
    if not plan.count:
        return Preview(f"No {_THING} is to be {what}.", details, count=0, possible=False)
    will = (
        "will go back to the group that failed each, with all attempts anew"
        if what == "redriven"
        else "will count as done; they stay readable, and are not handled"
    )
    return Preview(
        f"{counted(plan.count, _THING)} {will}.",
        details,
        count=plan.count,
        confirm=f"{verb} {counted(plan.count, _THING)}",
        danger=what == "discarded",
    )


def _outcome_of(state: RunState, what: str) -> Outcome:
    details = [f"{letter} is refused by Kafka: {reason}" for letter, reason in state.refused]
    if state.already:
        details.append(f"{state.already:,} had been done already.")
    was = "was" if state.done == 1 else "were"
    return Outcome(
        f"{counted(state.done, _THING)} {was} {what}.",
        details,
        count=state.done,
        failed=len(state.refused),
    )
