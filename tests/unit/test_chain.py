"""What of a chain is not the usual way: held keys, a dependency that is down, a flood."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.source import FakeSource
from tests.support.waiting import eventually
from tests.unit.test_runner import Bench, record
from trunkline.errors import DependencyDown
from trunkline.settings import Settings

QUICK = Settings(breaker_first_pause_s=0.01, breaker_longest_pause_s=0.01)
SLOW = Settings(breaker_first_pause_s=60)


async def test_later_events_of_a_failed_key_are_parked_and_others_handled():
    """What no handler can read goes to the dead letters, and waits for nobody."""

    async def handle(event, context):
        seen.append(context.offset)
        if context.offset == 0:
            raise RuntimeError("no")

    seen = []
    bench = Bench(handle, FakeSource(ordered=True))
    bench.feed([record(0), record(1), record(2, b"other"), record(3, value=b"{"), record(4)])
    await bench.until_done()
    assert seen == [0, 2]
    assert bench.source.parked == [1, 4]
    assert [(o, f.kind) for o, f in bench.source.failed] == [(0, "transient"), (3, "invalid")]
    assert bench.source.taken_over == 1
    await bench.runner.drain(1)


async def test_a_hold_covers_the_events_that_were_handled_before_it():
    """Redelivered, they are neither parked behind the failed one nor handled after it."""

    async def handle(event, context):
        if context.offset == 2:
            raise RuntimeError("no")

    bench = Bench(handle, FakeSource(ordered=True))
    bench.feed([record(0), record(1), record(2)])
    await bench.until_done()
    verdicts = [bench.source.holds.verdict(record(offset)) for offset in range(4)]
    assert verdicts == ["pass over", "pass over", "pass over", "park"]
    await bench.runner.drain(1)


@pytest.mark.parametrize("options", [{}, {"concurrency": 4}, {"shape": "batch", "max_batch": 3}])
async def test_while_the_dependency_is_down_events_wait_unfinished(options):
    """None is handed over; when it is back all are handled, in order."""
    down, handled = [True], []

    async def one(event, context):
        if down[0]:
            raise DependencyDown("away")
        handled.append(context.offset)

    async def many(events, contexts):
        if down[0]:
            raise DependencyDown("away")
        handled.extend(context.offset for context in contexts)

    handler = many if options.get("shape") else one
    bench = Bench(handler, FakeSource(ordered=True), settings=QUICK, **options)
    bench.feed([record(offset) for offset in range(6)])
    await eventually(lambda: bench.target.breaker.is_open)
    assert bench.tracker.committable == 0
    down[0] = False
    await bench.until_done()
    assert handled == list(range(6))
    assert not bench.source.failed
    await bench.runner.drain(1)


@pytest.mark.parametrize("options", [{}, {"concurrency": 4}, {"shape": "batch"}])
async def test_draining_does_not_wait_for_a_dependency(options):
    """What is held up ends at once, and stays unfinished."""

    async def one(event):
        raise DependencyDown("away")

    async def many(events):
        raise DependencyDown("away")

    handler = many if options.get("shape") else one
    bench = Bench(handler, settings=SLOW, **options)
    bench.feed([record(offset) for offset in range(6)])
    await eventually(lambda: bench.chain._held_up)
    async with asyncio.timeout(5):
        assert await bench.runner.drain(60)
    assert bench.tracker.committable == 0
    assert not bench.source.failed


async def test_draining_does_not_wait_for_a_take_over():
    """A partition may be taken away again while its holds are still being read."""

    class Slow(FakeSource):
        async def take_over(self):
            await asyncio.Event().wait()

    async def handle(event):
        raise AssertionError("nothing is handled before the holds are known")

    bench = Bench(handle, Slow())
    bench.feed([record(0)])
    await eventually(lambda: bench.chain._held_up)
    async with asyncio.timeout(5):
        assert await bench.runner.drain(60)
    assert bench.tracker.committable == 0


async def test_while_the_flood_guard_stops_it_nothing_is_handed_over():
    """An invalid event stays where it is, uncommitted."""

    async def handle(event):
        pass

    settings = Settings(flood_guard_min_events=1, flood_guard_share=0.5)
    bench = Bench(handle, settings=settings)
    bench.feed([record(0, value=b"{"), record(1)])
    await eventually(lambda: bench.chain._held_up)
    assert not bench.source.failed
    assert await bench.runner.drain(60)
    assert bench.tracker.committable == 0
