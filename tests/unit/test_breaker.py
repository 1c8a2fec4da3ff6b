"""The breaker: opens when the dependency is down, lets one probe at a time, closes when it is back.

Its turns under cancellation, and its properties, are in ``test_breaker_turns.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from tests.support.clock import FakeClock, settle
from trunkline.delivery.breaker import PROBE_TIMEOUT_S, Breaker
from trunkline.delivery.limits import BreakerLimits
from trunkline.errors import DependencyDown, InvalidEventError, Permanent
from trunkline.settings import Settings

DOWN = DependencyDown("The database is away.")
LIMITS = BreakerLimits(share=0.5, min_attempts=10, window_s=10, first_pause_s=1, longest_pause_s=8)


class World:
    """A breaker with its clock, and the counter of successes that it looks at."""

    def __init__(self, limits=LIMITS, rng=lambda: 0.0, **options):
        self.clock = FakeClock()
        self.handled = 0
        self.breaker = Breaker(
            "t", limits, lambda: self.handled, clock=self.clock, rng=rng, **options
        )

    async def state(self):
        return self.breaker.stats()["state"]

    async def probe(self, error=None):
        """Go through the breaker as an event would; return when the verdict is given."""
        async with self.breaker.admission():
            if error is None:
                self.breaker.succeeded()
                return None
            return self.breaker.takes(error)


@pytest.fixture
async def world():
    return World()


def raised(error, cause):
    """Return an error as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


async def test_is_closed_at_first(world):
    """Events pass it without waiting."""
    assert not world.breaker.is_open
    assert world.breaker.admits_now
    async with world.breaker.admission():
        world.breaker.succeeded()
    assert await world.state() == "closed"


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        raised(RuntimeError("while storing"), DOWN),
        raised(ValueError("x"), raised(KeyError("y"), DependencyDown("z"))),
        raised(DependencyDown("away"), Permanent("what it was before")),
    ],
)
async def test_takes_a_failure_of_the_dependency(world, error):
    """One is enough, however deep it stands behind what was raised."""
    assert world.breaker.takes(error)
    assert world.breaker.is_open
    assert not world.breaker.admits_now


@pytest.mark.parametrize(
    "error",
    [
        raised(Permanent("the event is bad"), DOWN),
        InvalidEventError("bad"),
        ValueError("bug"),
        SystemExit(1),
        asyncio.CancelledError(),
    ],
)
async def test_leaves_other_failures_to_the_event(world, error):
    """The outermost verdict counts: a handler that says Permanent knows better."""
    assert not world.breaker.takes(error)
    assert not world.breaker.is_open


async def test_a_cycle_of_causes_ends(world):
    """Two errors that are each other's cause are no endless loop."""
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert not world.breaker.takes(one)


async def test_opens_when_most_attempts_fail(world):
    """Above the share and with enough attempts; the events themselves take their usual way."""
    world.handled = 1_000_000
    assert not any(world.breaker.takes(ValueError("x")) for _ in range(9))
    assert not world.breaker.is_open
    assert not world.breaker.takes(ValueError("x"))
    assert world.breaker.is_open
    assert world.breaker.stats()["reason"] == "rate"


async def test_stays_closed_below_the_share(world):
    """A third of the attempts is not more than half, for however long."""
    for _ in range(200):
        world.breaker.takes(ValueError("x"))
        world.handled += 2
        assert not world.breaker.is_open


async def test_stays_closed_when_failures_are_slow(world):
    """Eight in every window are too few to judge."""
    for _ in range(100):
        world.breaker.takes(ValueError("x"))
        await world.clock.advance(10 / 8)
    assert not world.breaker.is_open


@pytest.mark.parametrize("error", [Permanent("x"), InvalidEventError("x")])
async def test_bad_events_do_not_count(world, error):
    """A topic full of bad events is no outage."""
    for _ in range(1000):
        assert not world.breaker.takes(error)
    assert not world.breaker.is_open
    assert world.breaker.stats()["failures"] == 0


async def test_what_a_policy_calls_permanent_does_not_count():
    """The classification is the topic's."""
    world = World(kind_of=lambda error: "permanent" if error.args == ("p",) else "transient")
    for _ in range(1000):
        world.breaker.takes(ValueError("p"))
    assert not world.breaker.is_open


async def test_share_0_judges_no_share_but_hears_the_handler():
    """Only an outage that a handler tells opens it."""
    world = World(BreakerLimits(share=0, min_attempts=1))
    for _ in range(1000):
        world.breaker.takes(ValueError("x"))
    assert not world.breaker.is_open
    assert world.breaker.takes(DOWN)
    assert world.breaker.is_open


async def test_nobody_is_admitted_before_the_pause_is_over(world):
    """Then exactly one is, and the others when it succeeded."""
    world.breaker.takes(DOWN)
    admitted, go_on = [], asyncio.Event()

    async def event(name):
        async with world.breaker.admission():
            admitted.append(name)
            await go_on.wait()
            world.breaker.succeeded()

    tasks = [asyncio.create_task(event(name)) for name in "abc"]
    await world.clock.advance(0.99)
    assert not admitted
    assert await world.state() == "open"
    await world.clock.advance(0.01)
    assert admitted == ["a"]
    assert await world.state() == "half-open"
    assert world.breaker.stats()["waiting"] == 2
    go_on.set()
    await asyncio.gather(*tasks)
    assert admitted == ["a", "b", "c"]
    assert await world.state() == "closed"


async def test_who_comes_during_a_probe_waits_for_its_verdict(world):
    """There is one probe at a time, also when nobody had to wait before it."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    async with world.breaker.admission():
        late = asyncio.create_task(world.probe())
        await settle()
        assert not late.done()
        assert not world.breaker.admits_now
        world.breaker.succeeded()
    await late


async def test_the_pause_doubles_up_to_the_longest(world):
    """With each probe that fails; after it closed it begins anew."""
    world.breaker.takes(DOWN)
    for pause_s in [1, 2, 4, 8, 8, 8]:
        task = asyncio.create_task(world.probe(DOWN))
        await world.clock.advance(pause_s - 0.01)
        assert not task.done()
        await world.clock.advance(0.01)
        assert await task
    await world.clock.advance(8)
    await world.probe()
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    assert world.breaker.admits_now


async def test_pauses_are_shorter_at_random():
    """So that the pods of a group do not probe in step; never longer than the longest."""
    world = World(rng=lambda: 1.0)
    world.breaker.takes(DOWN)
    await world.clock.advance(0.74)
    assert not world.breaker.admits_now
    await world.clock.advance(0.02)
    assert world.breaker.admits_now


async def test_a_probe_that_fails_otherwise_is_the_next_ones_turn(world):
    """A bad event is never the probe for ever: it goes its way, and the pause begins anew."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    assert not await world.probe(ValueError("x"))
    assert await world.state() == "open"
    await world.clock.advance(2)
    await world.probe()
    assert await world.state() == "closed"


async def test_a_permanent_failure_passes_the_turn_on_at_once(world):
    """It tells nothing of the dependency, so the next event probes without another pause."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    assert not await world.probe(Permanent("x"))
    assert world.breaker.admits_now
    await world.probe()
    assert await world.state() == "closed"


async def test_an_error_that_gets_out_of_the_block_is_judged(world):
    """A caller that judges outside the block is heard once, and not as another probe."""
    world.breaker.takes(DOWN)
    for pause_s in [1, 2, 4]:
        await world.clock.advance(pause_s)
        with pytest.raises(DependencyDown) as caught:
            async with world.breaker.admission():
                raise DOWN
        assert world.breaker.takes(caught.value)
        assert not world.breaker.admits_now


async def test_late_failures_of_others_do_not_prolong_the_pause(world):
    """Handlers that began before it opened fail one after the other: they are taken, no more."""
    world.breaker.takes(DOWN)
    for _ in range(51):
        assert world.breaker.takes(DOWN)
        await world.clock.advance(0.02)
    assert world.breaker.admits_now
    assert world.breaker.stats()["opened"] == 1


async def test_a_late_success_of_another_closes_nothing(world):
    """Only the probe has seen the dependency since."""
    world.breaker.takes(DOWN)
    world.breaker.succeeded()
    assert world.breaker.is_open
    await world.clock.advance(1)
    world.breaker.succeeded()
    assert world.breaker.is_open


async def test_a_probe_that_hangs_lets_another_one_try(world):
    """The first one's verdict is still heard when it is good."""
    world.breaker.takes(DOWN)
    never, admitted = asyncio.Event(), []

    async def hang():
        async with world.breaker.admission():
            admitted.append("first")
            await never.wait()
            world.breaker.succeeded()

    first = asyncio.create_task(hang())
    second = asyncio.create_task(world.probe(DOWN))
    await world.clock.advance(1 + PROBE_TIMEOUT_S)
    assert admitted == ["first"]
    assert not second.done()
    await world.clock.advance(2)
    assert await second
    assert world.breaker.is_open
    never.set()
    await first
    assert not world.breaker.is_open


async def test_a_block_inside_a_probes_block_does_not_wait_for_itself(world):
    """A batch whose events are tried one by one is one probe."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    async with world.breaker.admission():
        async with world.breaker.admission():
            world.breaker.takes(DOWN)
        inner = asyncio.create_task(world.probe(DOWN))
        await settle()
        assert not inner.done()
    await world.clock.advance(2)
    assert await inner


async def test_an_operator_pauses_and_resumes(world):
    """Nobody probes meanwhile, a probe that is under way closes nothing; resuming frees all."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    async with world.breaker.admission():
        world.breaker.pause("deployment")
        world.breaker.succeeded()
        world.breaker.takes(DOWN)
    waiting = asyncio.create_task(world.probe())
    await world.clock.advance(1000)
    assert not waiting.done()
    stats = world.breaker.stats()
    assert (stats["state"], stats["reason"]) == ("open", "paused: deployment")
    assert stats["next_probe_at_ms"] is None
    world.breaker.resume()
    await waiting
    assert await world.state() == "closed"


async def test_resuming_frees_those_behind_a_probe_that_hangs(world):
    """They do not queue behind it."""
    world.breaker.takes(DOWN)
    await world.clock.advance(1)

    async def hang():
        async with world.breaker.admission():
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await settle()
    behind = asyncio.create_task(world.probe())
    await settle()
    world.breaker.resume()
    await asyncio.wait_for(behind, timeout=5)
    world.breaker.takes(DOWN)
    await world.clock.advance(1)
    assert world.breaker.admits_now
    hanging.cancel()


async def test_resuming_what_is_closed_does_nothing(world, caplog):
    """No line in the log either."""
    caplog.set_level(logging.DEBUG)
    world.breaker.resume()
    assert not caplog.records


async def test_says_once_that_it_opened_and_that_it_closed(world, caplog):
    """One warning with what and when; one line when it goes on; no line for a probe."""
    caplog.set_level(logging.INFO)
    world.breaker.takes(DOWN)
    world.breaker.takes(DOWN)
    for pause_s in [1, 2, 4]:
        await world.clock.advance(pause_s)
        await world.probe(DOWN)
    await world.clock.advance(8)
    await world.probe()
    [opened, closed] = caplog.records
    assert opened.levelname == "WARNING"
    for part in ["t waits", "dependency", "The database is away.", "1.0 s"]:
        assert part in opened.getMessage()
    assert closed.levelname == "INFO"
    assert "t goes on" in closed.getMessage()


async def test_says_which_share_failed(world, caplog):
    """The warning of a rate has the numbers."""
    for _ in range(10):
        world.breaker.takes(ValueError("x"))
    assert "10 of the last 10 attempts failed, at last with builtins.ValueError: x" in caplog.text


async def test_an_error_that_cannot_be_printed_opens_it_all_the_same(world):
    """Whatever a handler's exception does in its __str__."""

    class Unprintable(DependencyDown):
        def __str__(self):
            raise RuntimeError("no text")

    assert world.breaker.takes(Unprintable("x"))
    assert world.breaker.is_open


async def test_stats_tell_since_when_and_until_when(world):
    """Times are Unix milliseconds, None when there is nothing to tell."""
    assert world.breaker.stats() == {
        "state": "closed",
        "reason": "",
        "since_ms": None,
        "opened": 0,
        "next_probe_at_ms": None,
        "failures": 0,
        "waiting": 0,
    }
    before_ms = int(time.time() * 1000)
    world.breaker.takes(DOWN)
    stats = world.breaker.stats()
    after_ms = int(time.time() * 1000)
    assert (stats["state"], stats["reason"], stats["opened"]) == ("open", "dependency", 1)
    assert before_ms <= stats["since_ms"] <= after_ms
    assert before_ms + 1000 <= stats["next_probe_at_ms"] <= after_ms + 1001


def test_limits_come_from_the_settings():
    """The defaults of both are the same."""
    assert BreakerLimits.of(Settings()) == BreakerLimits()
