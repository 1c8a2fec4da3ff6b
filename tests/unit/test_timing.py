"""The handler's durations: exact where it is cheap, one by one where a handler is slow."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.source import FakeSource
from tests.unit.test_runner import Bench, record
from trunkline.delivery.timing import BOUNDS_S, LONGEST_RUN, Histogram, RunTimer
from trunkline.errors import DependencyDown
from trunkline.settings import Settings


def test_quick_runs_grow_and_count_every_event():
    """Two looks at the clock for up to 64 events, all of them in the first bucket for certain."""
    timer = RunTimer(histogram := Histogram())
    strides = []
    for _ in range(10):
        strides.append(timer.stride)
        timer.note(timer.stride, timer.stride * 5e-6)
    assert strides == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert histogram.counts[0] == sum(strides)
    assert histogram.sum_s == pytest.approx(sum(strides) * 5e-6)
    assert timer.stride == LONGEST_RUN


def test_a_run_never_grows_beyond_what_the_first_bucket_can_tell():
    """Handlers of 100 µs are timed by eight at most: more would look slow together."""
    timer = RunTimer(histogram := Histogram())
    for _ in range(20):
        timer.note(timer.stride, timer.stride * 1e-4)
    assert timer.stride == 8
    assert histogram.counts[0] == sum(histogram.counts)


def test_a_slow_handler_is_timed_event_by_event():
    """Each duration is in the bucket that it belongs to."""
    timer = RunTimer(histogram := Histogram())
    for seconds in (0.02, 0.3, 70.0, 0.02):
        assert timer.stride == 1
        timer.note(1, seconds)
    at = {bound: histogram.counts[i] for i, bound in enumerate(BOUNDS_S)}
    assert (at[0.025], at[0.5], histogram.counts[-1]) == (2, 1, 1)
    assert histogram.sum_s == pytest.approx(70.34)


def test_one_slow_event_among_quick_ones_is_one_slow_event():
    """It gets the time that the others do not usually take."""
    timer = RunTimer(histogram := Histogram())
    while timer.stride < LONGEST_RUN:
        timer.note(timer.stride, timer.stride * 5e-6)
    quick = histogram.counts[0]
    timer.note(LONGEST_RUN, 0.2)
    assert histogram.counts[0] == quick + LONGEST_RUN - 1
    assert histogram.counts[BOUNDS_S.index(0.25)] == 1
    assert timer.stride == 1


@pytest.mark.parametrize("options", [{}, {"concurrency": 8}])
async def test_every_event_that_a_runner_takes_is_counted(options):
    """Quick, slow and failing ones; the slow ones where they belong."""

    async def handle(event, context):
        if context.offset % 100 == 7:
            await asyncio.sleep(0.3)
        if context.offset % 100 == 9:
            raise RuntimeError("no")

    bench = Bench(handle, **options)
    bench.feed([record(i, b"%d" % (i % 16)) for i in range(500)])
    await bench.until_done()
    await bench.runner.drain(1)
    histogram = bench.target.handler_seconds
    assert sum(histogram.counts) == 500
    assert sum(histogram.counts[BOUNDS_S.index(0.5) :]) in (3, 4, 5)  # two in one run are one
    assert histogram.sum_s >= 5 * 0.3


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"shape": "batch"}])
async def test_waiting_for_the_breaker_is_no_work(options):
    """The handler was quick, its dependency was not there."""
    back_at = time.monotonic() + 2

    async def handle(event):
        if time.monotonic() < back_at:
            raise DependencyDown("away")

    settings = Settings(breaker_first_pause_s=0.1, breaker_longest_pause_s=0.1)
    bench = Bench(handle, settings=settings, **options)
    bench.feed([record(0)])
    await bench.until_done()
    await bench.runner.drain(1)
    histogram = bench.target.handler_seconds
    assert sum(histogram.counts) == 1
    assert histogram.sum_s < 1


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"shape": "batch"}])
async def test_taking_a_partition_over_is_no_part_of_its_first_event(options):
    """It came before; to subtract it would make the sum of all durations negative."""

    async def handle(event):
        await asyncio.sleep(0.01)

    class Slow(FakeSource):
        async def take_over(self):
            await asyncio.sleep(2)

    bench = Bench(handle, Slow(), **options)
    bench.feed([record(0)])
    await bench.until_done()
    await bench.runner.drain(1)
    assert 0.005 < bench.target.handler_seconds.sum_s < 1
