"""Redrives and discards of a process that serves many people: one at a time, seen by all of them.

There is one transactional id for all runs, so a second one would throw the first out: here they
wait for each other. A run ends after the transaction that is on its way when it is stopped; what
it had not done is open, and the same order goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from trunkline.audit import Actor, AuditLog
from trunkline.dead_letters.once import Outcome
from trunkline.dead_letters.sources import Source
from trunkline.dead_letters.work import AUDIT_NAMES, Job, Planned, Run, plan_job, tell
from trunkline.errors import TrunklineError

#: So many runs are remembered.
_REMEMBERED = 50
#: How long a plan that was shown may be confirmed, and how many wait for that.
_CONFIRM_WITHIN_S = 900.0
_PLANS = 100
#: How long a stopped run may take for its last transaction.
_LAST_TRANSACTION_S = 15.0

State = Literal["planning", "waiting", "running", "done", "stopped", "failed"]
#: Told how many are done of how many, and what is being done.
OnProgress = Callable[[int, int, str], None]


class RunState(msgspec.Struct):
    """A run, as everybody may see it.

    Attributes:
        id: Its id here.
        action: ``dlq.redrive``, ``dlq.discard`` or ``dlq.edit``.
        what: Which dead letters, and how.
        by: Who ordered it.
        begun_ms: When (Unix time).
        state: ``waiting`` is for another run's end.
        done: How many it has done.
        already: How many somebody else had done.
        total: Of how many, once that is known.
        refused: Those that Kafka does not take, with its reason.
        audit: The action's id in the audit trail.
        error: Why it failed.
        ended_ms: When it ended.

    """

    id: int
    action: str
    what: dict[str, Any]
    by: str
    begun_ms: int
    state: State = "planning"
    done: int = 0
    already: int = 0
    total: int = 0
    refused: Sequence[tuple[str, str]] = ()
    audit: str = ""
    error: str = ""
    ended_ms: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "stopped", "failed")


class Runs:
    """The runs of this process.

    Args:
        audit: Where each one is noted.

    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._turn = asyncio.Lock()
        self._states: OrderedDict[int, RunState] = OrderedDict()
        self._stops: dict[int, Callable[[], object]] = {}
        self._plans: OrderedDict[str, tuple[float, Source, Planned]] = OrderedDict()
        self._count = 0

    def all(self) -> list[RunState]:
        """Return the runs, the newest first."""
        return list(reversed(self._states.values()))

    def stop(self, run_id: int) -> RunState | None:
        """Stop a run after the transaction that is on its way; None when there is none."""
        state = self._states.get(run_id)
        if state is not None and run_id in self._stops:
            self._stops[run_id]()
        return state

    async def plan(self, order: str, job: Job, source: Source, limit: int | None) -> Planned:
        """Plan, and keep the plan for a while: what was shown is what is done then.

        Args:
            order: Names what was asked for, and by whom.
            job: What is to be done.
            source: With which dead letters.
            limit: With so many at most.

        Raises:
            BrokerError: Kafka is away.

        """
        planned = await plan_job(job, source, limit, lambda *_: None)
        self._plans[order] = (time.monotonic(), source, planned)
        while len(self._plans) > _PLANS:
            self._plans.popitem(last=False)
        return planned

    async def perform(
        self,
        order: str,
        job: Job,
        source: Source,
        actor: Actor,
        on_progress: OnProgress,
        *,
        action: str = "",
        rate: float | None = None,
        limit: int | None = None,
    ) -> RunState:
        """Do what was planned under this name, else plan it first.

        Cancel it to stop it: it ends after the transaction that is on its way.

        Raises:
            AuditError: It cannot be noted; nothing was done.
            TakenOverError: A run of another process has begun.
            BrokerError: Kafka is away.

        """
        state = self._begin(action or AUDIT_NAMES[job.action], source, actor, rate, limit)
        try:
            source, planned = await self._planned(order, job, source, limit)
            state.total = planned.plan.count
            await self._take_turn(state, on_progress)
            try:
                await self._run(state, job, source, planned, actor=actor, on_progress=on_progress)
            finally:
                self._turn.release()
        except asyncio.CancelledError:
            state.state = "stopped"
            raise
        except Exception as error:
            state.state, state.error = "failed", str(error)
            raise
        finally:
            state.ended_ms = _now_ms()
            self._stops.pop(state.id, None)
        return state

    def _begin(
        self, action: str, source: Source, actor: Actor, rate: float | None, limit: int | None
    ) -> RunState:
        self._count += 1
        how = {name: value for name, value in (("rate", rate), ("limit", limit)) if value}
        what = {**source.to_dict(), **how}
        state = RunState(self._count, action, what, str(actor), _now_ms())
        self._states[state.id] = state
        task = asyncio.current_task()
        if task is not None:
            self._stops[state.id] = task.cancel
        for old in [s.id for s in self._states.values() if s.is_over][:-_REMEMBERED]:
            del self._states[old]
        return state

    async def _planned(
        self, order: str, job: Job, source: Source, limit: int | None
    ) -> tuple[Source, Planned]:
        at, shown, planned = self._plans.pop(order, (float("-inf"), source, None))
        if planned is not None and time.monotonic() - at < _CONFIRM_WITHIN_S:
            return shown, planned
        return source, await plan_job(job, source, limit, lambda *_: None)

    async def _take_turn(self, state: RunState, on_progress: OnProgress) -> None:
        if self._turn.locked():
            state.state = "waiting"
            on_progress(0, state.total, "Waiting for another run to end")
        await self._turn.acquire()

    async def _run(
        self,
        state: RunState,
        job: Job,
        source: Source,
        planned: Planned,
        *,
        actor: Actor,
        on_progress: OnProgress,
    ) -> None:
        state.state = "running"
        doing = "Redriving" if job.action == "redriven" else "Discarding"

        def progress(outcome: Outcome) -> None:
            state.done, state.already = outcome.done, outcome.already
            on_progress(outcome.done + outcome.already, state.total, doing)

        run = Run(
            job,
            source,
            planned,
            by=str(actor),
            rate=state.what.get("rate"),
            on_progress=progress,
        )
        progress(run.outcome)
        what = {**state.what, "run": run.id}
        async with self._audit.action(actor, state.action, what, state.total) as note:
            state.audit = note.id
            try:
                await _to_its_end(run)
            finally:
                tell(note, job, run.outcome)
                progress(run.outcome)
                state.refused = tuple(run.outcome.refused)
        state.state = "stopped" if run.outcome.interrupted else "done"


async def _to_its_end(run: Run) -> None:
    """Run; when it is cancelled, end after the transaction that is on its way."""
    task = asyncio.create_task(run.execute())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        run.stop()
        with contextlib.suppress(TrunklineError, TimeoutError):
            async with asyncio.timeout(_LAST_TRANSACTION_S):
                await task
        task.cancel()
        raise


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
