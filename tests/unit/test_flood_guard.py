"""The flood guard: stops and alarms when most events of a topic would become dead letters."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import FakeClock, settle
from trunkline.delivery.flood_guard import FloodGuard
from trunkline.delivery.limits import FloodLimits
from trunkline.settings import Settings

LIMITS = FloodLimits(share=0.5, min_events=100, window_s=60, pause_s=30)


class World:
    """A guard with its clock, and the counter of successes that it looks at."""

    def __init__(self, limits=LIMITS):
        self.clock = FakeClock()
        self.handled = 0
        self.guard = FloodGuard("t", limits, lambda: self.handled, clock=self.clock)

    def state(self):
        return self.guard.stats()["state"]

    def let_through(self, asked):
        """Ask for so many, one by one; return how many were let through."""
        return sum(self.guard.allows() for _ in range(asked))


@pytest.fixture
async def world():
    return World()


@pytest.fixture
async def tripped(world):
    """A guard that has just tripped."""
    assert world.let_through(100) == 99
    assert world.guard.tripped
    return world


async def test_lets_a_handful_through(world):
    """Fewer than the least number are never a flood, though nothing succeeds."""
    assert world.let_through(99) == 99
    assert world.state() == "closed"


async def test_lets_a_handful_in_every_window_through(world):
    """The window slides: the old ones are forgotten."""
    for _ in range(10):
        assert world.let_through(90) == 90
        await world.clock.advance(61)


async def test_trips_when_only_bad_events_arrive(world):
    """Nothing succeeds and there are enough of them: the next one is not let through."""
    assert world.let_through(1000) == 99
    assert world.guard.tripped


async def test_lets_through_what_is_below_the_share(world):
    """A third of the events may be bad, for ever."""
    for _ in range(1000):
        world.handled += 2
        assert world.guard.allows()


async def test_trips_above_the_share(world):
    """Good events of before the flood do not hide it."""
    world.handled = 1_000_000
    let_through = 0
    for _ in range(200):
        world.handled += 1
        let_through += world.let_through(3)
    assert let_through < 100
    assert world.guard.tripped


async def test_share_0_stops_nothing():
    """It is off."""
    world = World(FloodLimits(share=0, min_events=1))
    assert world.let_through(1000) == 1000


async def test_those_who_wait_go_on_after_the_pause(tripped):
    """Not before; and each asks again."""
    waiting = [asyncio.create_task(tripped.guard.wait()) for _ in range(3)]
    await tripped.clock.advance(29)
    assert not any(task.done() for task in waiting)
    assert tripped.guard.pause_ms == 1000
    await tripped.clock.advance(1)
    assert all(task.done() for task in waiting)
    assert tripped.state() == "half-open"
    assert tripped.guard.pause_ms == 0


async def test_trips_again_at_once_when_the_few_are_bad(tripped):
    """A tenth of the least number goes through in every pause."""
    for _ in range(3):
        await tripped.clock.advance(30)
        assert tripped.let_through(100) == 9
        assert tripped.guard.tripped
    assert tripped.guard.stats()["tripped"] == 4


async def test_closes_when_good_ones_dominate(tripped):
    """The flood is over: the usual limits hold again."""
    await tripped.clock.advance(30)
    assert tripped.let_through(3) == 3
    tripped.handled += 20
    assert tripped.guard.allows()
    assert tripped.state() == "closed"
    assert tripped.let_through(60) == 60


async def test_closes_though_nobody_asks(tripped):
    """Good events alone show in the statistics."""
    await tripped.clock.advance(30)
    tripped.handled += 10
    assert tripped.state() == "closed"


async def test_closes_when_hardly_anything_comes(tripped):
    """A few bad ones within a window are no flood."""
    await tripped.clock.advance(30)
    assert tripped.let_through(5) == 5
    await tripped.clock.advance(61)
    assert tripped.state() == "closed"
    assert tripped.let_through(99) == 99


async def test_the_first_call_after_a_pause_goes_through_however_large():
    """A caller that always asks for many at once goes on slowly in place of never."""
    world = World()
    assert not world.guard.allows(5000)
    for _ in range(3):
        await world.clock.advance(30)
        assert world.guard.allows(5000)
        assert not world.guard.allows(5000)


async def test_an_operator_resumes(tripped):
    """At once, with a new window; a flood that goes on trips it again."""
    waiting = asyncio.create_task(tripped.guard.wait())
    await tripped.clock.advance(10)
    tripped.guard.resume()
    await waiting
    assert tripped.let_through(100) == 99
    assert tripped.guard.tripped
    # The timer of the first pause is gone: this pause takes its full time.
    await tripped.clock.advance(29)
    assert tripped.guard.tripped


async def test_a_cancelled_waiter_hangs_nobody(tripped):
    """The others go on."""
    waiting = [asyncio.create_task(tripped.guard.wait()) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await tripped.clock.advance(30)
    assert all(task.done() for task in waiting)
    assert tripped.guard.stats()["waiting"] == 0


async def test_raises_an_alarm(world, caplog):
    """One ERROR line for each trip, with topic, share, counts and what to do."""
    caplog.set_level(logging.INFO)
    world.handled = 50
    world.let_through(200)
    [alarm] = caplog.records
    assert alarm.levelname == "ERROR"
    for part in ["100 %", "last 100 events of t", "30 s", "trunkline dlq", "FLOOD_GUARD_SHARE"]:
        assert part in alarm.getMessage()
    world.guard.resume()
    assert "over" in caplog.records[-1].getMessage()


async def test_stats_tell_since_when_and_until_when(world):
    """Times are Unix milliseconds, None when there is nothing to tell."""
    world.handled = 7
    assert world.guard.allows()
    world.handled = 8
    stats = world.guard.stats()
    assert (stats["state"], stats["dead"], stats["events"]) == ("closed", 1, 2)
    assert (stats["since_ms"], stats["next_try_at_ms"], stats["tripped"]) == (None, None, 0)
    before_ms = int(time.time() * 1000)
    world.let_through(200)
    stats = world.guard.stats()
    after_ms = int(time.time() * 1000)
    assert (stats["state"], stats["tripped"]) == ("tripped", 1)
    assert stats["share"] > 0.5
    assert before_ms <= stats["since_ms"] <= after_ms
    assert before_ms + 30_000 <= stats["next_try_at_ms"] <= after_ms + 30_001


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(10, 30)), max_size=40))
def test_lets_through_no_more_than_few_of_a_flood_and_goes_on(steps):
    """Whatever is asked while only bad events arrive, each pause lets something through."""

    async def flood():
        world = World()
        world.guard.allows(5000)
        for asked, more in steps:
            await world.clock.advance(30)
            assert world.guard.allows(asked)
            assert world.let_through(more) <= LIMITS.few
        await world.clock.advance(30)
        assert world.guard.allows()

    asyncio.run(flood())


def test_limits_come_from_the_settings():
    """The defaults of both are the same."""
    assert FloodLimits.of(Settings()) == FloodLimits()
