"""Redrive or discard dead letters: judge them first, then do it, each one once.

The command line and the console do it by the same code: a plan is made and shown, somebody
confirms it, and only what the plan had is done. What is interrupted goes on when it is planned and
run again.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from trunkline.audit import Note
from trunkline.dead_letters.actions import TRANSACTIONAL_ID, Actions, Kind
from trunkline.dead_letters.once import OnceWriter, Outcome
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.redrive import Guard, Item, Verdict, discard_item, redrive_item
from trunkline.dead_letters.scan import read_actions
from trunkline.dead_letters.sources import Candidate, OnRead, Source
from trunkline.delivery.fenced import FencedTransactions
from trunkline.delivery.producer_call import OutRecord
from trunkline.settings import Settings
from trunkline.topology import FAILURE_HEADERS_BYTES, MAX_MESSAGE_BYTES, Topology
from trunkline.tracing.setup import tracing_for


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        action: With each dead letter.
        settings: How Kafka is reached.
        topology: Where things stand there.
        guard: Which may be redriven; None lets all through that are open.

    """

    action: Kind
    settings: Settings
    topology: Topology
    guard: Guard | None

    def judge(self, candidate: Candidate) -> Verdict:
        """Return what is to become of a dead letter."""
        letter, _, action = candidate.found
        if self.guard is not None:
            return self.guard.judge(letter, action)
        if action is not None:
            return Verdict(refused=f"already {action.action}")
        return Verdict(to="(nowhere)")

    def item(self, candidate: Candidate, verdict: Verdict) -> Item:
        """Return what does it."""
        letter = candidate.found.letter
        if self.action == "discarded":
            return discard_item(letter)
        return redrive_item(letter, verdict.to)._replace(id=candidate.key)


#: What the audit trail calls it.
AUDIT_NAMES: dict[Kind, str] = {"redriven": "dlq.redrive", "discarded": "dlq.discard"}


@dataclass(frozen=True)
class Planned:
    """A job that was planned.

    Attributes:
        plan: What would go where.
        chosen: Which, when there is a limit: the order may differ next time; None for all.

    """

    plan: Plan
    chosen: frozenset[str] | None = None


async def plan_job(job: Job, source: Source, limit: int | None, on_read: OnRead) -> Planned:
    """Judge everything that a source gives; nothing is changed.

    Raises:
        BrokerError: Kafka is away.

    """
    plan = Plan(job.topology)
    chosen: set[str] = set()
    async with contextlib.aclosing(source.candidates(on_read)) as candidates:
        async for candidate in candidates:
            verdict = job.judge(candidate)
            plan.add(candidate.found, verdict)
            if limit is not None and not verdict.refused:
                chosen.add(candidate.key)
                if len(chosen) == limit:
                    break
    return Planned(plan, None if limit is None else frozenset(chosen))


class Run:
    """Does what was planned.

    Args:
        job: What.
        source: The one that it was planned with.
        planned: The plan.
        by: Who does it.
        rate: Most dead letters a second, None for no limit.
        on_progress: Called with the outcome so far after each transaction.

    """

    def __init__(
        self,
        job: Job,
        source: Source,
        planned: Planned,
        *,
        by: str,
        rate: float | None = None,
        on_progress: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._job = job
        self._source = source
        self._chosen = planned.chosen
        topology = job.topology
        self._tracing = tracing_for("trunkline-dlq", by)
        self._writer = OnceWriter(
            FencedTransactions(
                job.settings.connection,
                "trunkline-dlq",
                topology.real_name(TRANSACTIONAL_ID),
                max_request_bytes=MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES,
            ),
            self._actions,
            topology.dead_letter_actions_topic().name,
            by=by,
            run=self.id,
            rate=rate,
            on_progress=on_progress,
            on_written=self._written,
        )

    @property
    def outcome(self) -> Outcome:
        """What it has done so far."""
        return self._writer.outcome

    def stop(self) -> None:
        """End after the transaction that is on its way."""
        self._writer.stop()

    async def execute(self) -> Outcome:
        """Do it.

        Raises:
            TakenOverError: Another run has begun.
            BrokerError: Kafka is away, and stayed away.

        """
        try:
            async with contextlib.aclosing(self._items()) as items:
                return await self._writer.write(items)
        finally:
            if self._tracing is not None:
                await self._tracing.stop()

    def _written(self, records: Sequence[OutRecord]) -> None:
        if self._tracing is not None and self._job.action == "redriven":
            self._tracing.redriven(records)

    async def _actions(self) -> Actions:
        return await read_actions(self._job.settings.connection, self._job.topology)

    async def _items(self) -> AsyncGenerator[Item, None]:
        chosen = self._chosen
        left = None if chosen is None else len(chosen)
        stream = self._source.candidates(lambda *_: None)
        async with contextlib.aclosing(stream) as candidates:
            async for candidate in candidates:
                if left == 0:
                    return
                verdict = self._job.judge(candidate)
                if verdict.refused or (chosen is not None and candidate.key not in chosen):
                    continue
                yield self._job.item(candidate, verdict)
                left = None if left is None else left - 1


def tell(note: Note, job: Job, outcome: Outcome) -> None:
    """Say in an audit note what a run has done."""
    note.result = {job.action: outcome.done, "already": outcome.already}
    if outcome.refused:
        note.result["refused"] = len(outcome.refused)
    if outcome.interrupted:
        note.outcome = "interrupted"
