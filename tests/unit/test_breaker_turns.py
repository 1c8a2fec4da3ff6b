"""Whatever happens to those who wait: never two probes at once, and it always closes again."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import FakeClock, settle
from trunkline.delivery.breaker import PROBE_TIMEOUT_S, Breaker
from trunkline.delivery.limits import BreakerLimits
from trunkline.errors import DependencyDown, Permanent

LIMITS = BreakerLimits(share=0.5, min_attempts=5, window_s=10, first_pause_s=1, longest_pause_s=8)


class World:
    """Events that go through a breaker, and a dependency that is down or not."""

    def __init__(self, seed=0):
        self.clock = FakeClock()
        self.breaker = Breaker("t", LIMITS, lambda: 0, clock=self.clock, rng=lambda: 0.5)
        self.rng = random.Random(seed)
        self.down = True
        self.bad_share = 0.0
        self.probing = set()
        self.most_probing = 0
        self.handled = 0
        self.failed = 0

    async def event(self, switches=0):
        """One event on its way through the delivery chain."""
        while True:
            async with self.breaker.admission():
                if self.breaker.is_open:
                    self.probing.add(asyncio.current_task())
                    self.most_probing = max(self.most_probing, len(self.probing))
                try:
                    if self.breaker.takes(await self._handle(switches)):
                        continue
                    self.failed += 1
                except _HandledError:
                    self.breaker.succeeded()
                    self.handled += 1
                finally:
                    self.probing.discard(asyncio.current_task())
            return

    async def _handle(self, switches):
        for _ in range(switches):
            await asyncio.sleep(0)
        if self.rng.random() < self.bad_share:
            return Permanent("bad") if self.rng.random() < 0.5 else ValueError("bad")
        if self.down:
            return DependencyDown("away")
        raise _HandledError


class _HandledError(Exception):
    """The handler returned."""


STEP = st.one_of(
    st.tuples(st.just("event"), st.integers(0, 60)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("switch"), st.integers(0, 5)),
    st.tuples(st.just("time"), st.sampled_from([0.1, 0.5, 1, 3, 9])),
    st.tuples(st.just("down"), st.booleans()),
    st.tuples(st.just("bad"), st.sampled_from([0.0, 0.3, 0.9])),
    st.tuples(st.just("pause"), st.none()),
    st.tuples(st.just("resume"), st.none()),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=60), st.integers(0, 1000))
def test_never_two_probes_and_always_closed_in_the_end(steps, seed):
    """Events, cancellations, outages, bad events and operators in any order."""
    asyncio.run(_live_through(steps, seed))


async def _live_through(steps, seed):
    world, tasks = World(seed), []
    world.breaker.takes(DependencyDown("away"))
    for what, argument in steps:
        if what == "event":
            tasks.append(asyncio.create_task(world.event(argument)))
        elif what == "cancel" and tasks:
            tasks[argument % len(tasks)].cancel()
        else:
            await _happen(world, what, argument)
    if world.breaker.stats()["reason"].startswith("paused"):
        world.breaker.resume()
    world.down, world.bad_share = False, 0.0
    for _ in range(5 + 5 * len(tasks)):
        await world.clock.advance(LIMITS.longest_pause_s)
    tasks.append(asyncio.create_task(world.event()))
    await settle()
    assert all(task.done() for task in tasks), "somebody hangs"
    assert not world.breaker.is_open
    assert world.most_probing <= 1
    assert world.breaker.stats()["waiting"] == 0


async def _happen(world, what, argument):
    if what == "switch":
        for _ in range(argument):
            await asyncio.sleep(0)
    elif what == "time":
        await world.clock.advance(argument)
    elif what == "down":
        world.down = argument
    elif what == "bad":
        world.bad_share = argument
    elif what == "pause":
        world.breaker.pause("operator")
        world.probing.clear()  # what runs now is no probe any more
    elif what == "resume":
        world.breaker.resume()
        world.probing.clear()


async def begin(world, seconds):
    """Open the breaker, let three events wait, and let time pass."""
    world.breaker.takes(DependencyDown("away"))
    tasks = [asyncio.create_task(world.event(switches=3)) for _ in range(3)]
    await settle()
    if seconds:
        world.clock._now_s += seconds
        timer = world.breaker._timer
        timer.callback()
        timer.cancel()
    return tasks


@pytest.mark.parametrize("who", [0, 1, 2])
@pytest.mark.parametrize("switches", range(8))
async def test_a_cancelled_caller_hangs_nobody(who, switches):
    """At every await: waiting, woken but not running yet, probing, and after the verdict."""
    world = World()
    tasks = await begin(world, 1)
    for _ in range(switches):
        await asyncio.sleep(0)
    tasks[who].cancel()
    world.down = False
    await world.clock.advance(20)
    assert all(task.done() for task in tasks)
    assert not world.breaker.is_open
    assert world.handled >= 2
    assert world.most_probing <= 1


async def test_all_but_one_are_cancelled_at_once():
    """The turn goes past those that have not noticed yet."""
    world = World()
    tasks = await begin(world, 0)
    for task in tasks[:2]:
        task.cancel()
    world.clock._now_s += 1
    world.breaker._timer.callback()
    world.down = False
    await settle()
    assert world.handled == 1
    assert tasks[2].done()


async def test_a_probe_that_vanishes_passes_the_turn_on():
    """A coroutine that is thrown away in the middle of its probe."""
    world = World()
    world.breaker.takes(DependencyDown("away"))
    await world.clock.advance(1)

    async def stuck():
        async with world.breaker.admission():
            await asyncio.get_running_loop().create_future()

    vanishing = stuck()
    vanishing.send(None)
    vanishing.close()
    del vanishing
    gc.collect()
    world.down = False
    task = asyncio.create_task(world.event())
    await settle()
    assert task.done()
    assert not world.breaker.is_open


async def test_events_go_on_in_the_order_in_which_they_waited():
    """First come, first served."""
    world = World()
    world.breaker.takes(DependencyDown("away"))
    order = []

    async def event(name):
        async with world.breaker.admission():
            order.append(name)
            world.breaker.succeeded()

    tasks = [asyncio.create_task(event(number)) for number in range(50)]
    await world.clock.advance(1)
    await asyncio.gather(*tasks)
    assert order == list(range(50))


async def test_a_queue_of_hanging_handlers_still_ends():
    """Each has its time, then the next one may try; the one that works closes it."""
    world = World()
    world.breaker.takes(DependencyDown("away"))

    async def hang():
        async with world.breaker.admission():
            await asyncio.get_running_loop().create_future()

    hanging = [asyncio.create_task(hang()) for _ in range(3)]
    world.down = False
    await settle()
    good = asyncio.create_task(world.event())
    await world.clock.advance(4 * (PROBE_TIMEOUT_S + LIMITS.longest_pause_s))
    assert good.done()
    assert not world.breaker.is_open
    for task in hanging:
        task.cancel()
