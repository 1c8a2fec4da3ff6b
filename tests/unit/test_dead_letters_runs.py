"""Runs of a process: one at a time, noted before and after, stopped in good order (fakes)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import eventually
from trunkline.audit import Actor, AuditError, Note
from trunkline.dead_letters import runs as module
from trunkline.dead_letters.once import Outcome
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.runs import Runs
from trunkline.dead_letters.work import Job, Planned
from trunkline.errors import BrokerError
from trunkline.settings import Settings
from trunkline.topology import Topology

TIM = Actor("tim", "console", "h", "10.0.0.7")


class World:
    """Takes the place of Kafka: audit, plans, and runs that go step by step."""

    def __init__(self):
        self.notes = []
        self.refuses = False
        self.planned = 0
        self.active = self.most_active = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error = None

    @asynccontextmanager
    async def action(self, actor, action, what, count=None):
        if self.refuses:
            raise AuditError("Nothing was done")
        note = Note("id")
        self.notes.append((action, str(actor), what, count))
        try:
            yield note
        finally:
            self.notes.append((note.outcome, note.result))

    async def plan_job(self, job, source, limit, on_read):
        self.planned += 1
        plan = Plan(Topology())
        plan.going["to", "g", "t"] += source.count
        return Planned(plan)

    def run(self, job, source, planned, *, by, rate, on_progress):
        return FakeRun(self, planned.plan.count, on_progress)


class FakeRun:
    """Does one dead letter at a time, when it may."""

    id = "r"

    def __init__(self, world, total, on_progress):
        self.world, self.total, self.on_progress = world, total, on_progress
        self.outcome = Outcome()
        self.stopped = False

    def stop(self):
        self.stopped = True
        self.world.go_on.set()

    async def execute(self):
        world = self.world
        world.active += 1
        world.most_active = max(world.most_active, world.active)
        try:
            for _ in range(self.total):
                await world.go_on.wait()
                if self.stopped:
                    self.outcome.interrupted = True
                    break
                if world.error:
                    raise world.error
                self.outcome.done += 1
                self.on_progress(self.outcome)
                await asyncio.sleep(0)
        finally:
            world.active -= 1
        return self.outcome


class Source:
    """So many dead letters."""

    names_ids = False

    def __init__(self, count):
        self.count = count

    def to_dict(self):
        return {"filter": {"topics": ["t"]}}


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(module, "plan_job", world.plan_job)
    monkeypatch.setattr(module, "Run", world.run)
    return world


JOB = Job("redriven", Settings(), Topology(), None)


def perform(runs, count=3, order="o", told=None, **options):
    tell = (lambda *said: told.append(said)) if told is not None else (lambda *_: None)
    return runs.perform(order, JOB, Source(count), TIM, tell, **options)


async def test_a_run_is_noted_and_seen(world):
    """Who, what, how many before; what became of it after."""
    runs, told = Runs(world), []
    state = await perform(runs, told=told, rate=50.0)
    assert (state.state, state.done, state.total) == ("done", 3, 3)
    assert told[-1] == (3, 3, "Redriving")
    what = {"filter": {"topics": ["t"]}, "rate": 50.0, "run": "r"}
    assert world.notes == [
        ("dlq.redrive", "tim@10.0.0.7", what, 3),
        ("done", {"redriven": 3, "already": 0}),
    ]
    assert [run.id for run in runs.all()] == [state.id]


async def test_what_was_shown_is_what_is_done(world):
    """The plan of the preview is used once: what came since is not redriven unseen."""
    runs = Runs(world)
    await runs.plan("o", JOB, Source(2), None)
    state = await perform(runs, count=5)
    assert (state.total, state.done, world.planned) == (2, 2, 1)
    again = await perform(runs, count=5)
    assert (again.total, world.planned) == (5, 2)


async def test_runs_wait_for_each_other(world):
    """A second one would throw the first out."""
    runs = Runs(world)
    world.go_on.clear()
    both = asyncio.gather(perform(runs, order="a"), perform(runs, order="b"))
    await eventually(lambda: {run.state for run in runs.all()} == {"running", "waiting"})
    world.go_on.set()
    states = await both
    assert [state.done for state in states] == [3, 3]
    assert world.most_active == 1


async def test_nothing_is_done_without_the_audit_trail(world):
    """And the run says so to everybody."""
    world.refuses = True
    runs = Runs(world)
    with pytest.raises(AuditError):
        await perform(runs)
    [state] = runs.all()
    assert (state.state, state.done, state.error) == ("failed", 0, "Nothing was done")


async def test_a_stopped_run_ends_after_its_transaction_and_is_noted(world):
    """By its number on the page, or by the job that it is."""
    runs = Runs(world)
    world.go_on.clear()
    task = asyncio.create_task(perform(runs))
    await eventually(lambda: runs.all() and runs.all()[0].state == "running")
    assert runs.stop(99) is None
    assert runs.stop(runs.all()[0].id) is not None
    with pytest.raises(asyncio.CancelledError):
        await task
    [state] = runs.all()
    assert (state.state, state.is_over) == ("stopped", True)
    assert world.notes[-1] == ("interrupted", {"redriven": 0, "already": 0})
    assert world.active == 0


async def test_a_failed_run_makes_room_for_the_next(world):
    """It is noted with what it had done."""
    runs = Runs(world)
    world.error = BrokerError("Kafka went away")
    with pytest.raises(BrokerError):
        await perform(runs)
    world.error = None
    assert (await perform(runs)).state == "done"
    assert [run.state for run in runs.all()] == ["done", "failed"]


async def test_old_runs_are_forgotten(world):
    """Memory is bounded."""
    runs = Runs(world)
    for _ in range(55):
        await perform(runs, count=1)
    assert len(runs.all()) <= 51
