"""A pause: nothing of the partition begins, what runs ends, and nothing is finished by it."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.test_runner import Bench, record
from trunkline.delivery.pauses import Pauses
from trunkline.errors import DependencyDown
from trunkline.settings import Settings

SHAPES = [
    pytest.param({}, id="serial"),
    pytest.param({"concurrency": 4}, id="keyed"),
    pytest.param({"shape": "batch"}, id="batch"),
]


@pytest.mark.parametrize("options", SHAPES)
async def test_what_is_paused_is_not_handled_until_it_is_resumed(options):
    """All of it then, in the order of the key."""
    handled = []

    async def one(event):
        handled.append(event.user_id)

    async def batch(events):
        handled.extend(event.user_id for event in events)

    bench = Bench(batch if options.get("shape") else one, **options)
    bench.chain._pause.set(True)
    bench.feed([record(n, user=str(n)) for n in range(9)])
    await _settle()
    assert handled == []
    assert bench.tracker.committable == 0

    bench.chain._pause.set(False)

    await bench.until_done()
    assert handled == [str(n) for n in range(9)]
    assert await bench.runner.drain(1)


@pytest.mark.parametrize("options", SHAPES)
async def test_a_paused_partition_is_given_away_at_once(options):
    """What waits stays unfinished, so that nothing of it is committed."""

    async def handle(_):
        raise AssertionError("handled while paused")

    bench = Bench(handle, **options)
    bench.chain._pause.set(True)
    bench.feed([record(n, b"k%d" % n) for n in range(9)])
    await _settle()

    async with asyncio.timeout(10):
        assert await bench.runner.drain(30)
    assert bench.tracker.committable == 0
    assert bench.tracker.unfinished == 9


async def test_what_runs_ends_and_its_successors_wait():
    """By key as well: a key that becomes free begins nothing, not even while it is drained."""
    gate = asyncio.Event()
    begun, done = [], []

    async def handle(event, context):
        begun.append(context.offset)
        await gate.wait()
        done.append(context.offset)

    bench = Bench(handle, concurrency=4)
    bench.feed([record(0, b"a"), record(1, b"b"), record(2, b"a"), record(3, b"c")])
    await _settle()
    assert begun == [0, 1, 3]

    bench.chain._pause.set(True)
    draining = asyncio.create_task(bench.runner.drain(30))
    await _settle()
    gate.set()

    async with asyncio.timeout(10):
        await draining
    assert sorted(done) == [0, 1, 3]
    assert begun == [0, 1, 3]
    assert bench.tracker.committable == 2


async def test_no_probe_is_made_while_it_is_paused():
    """The breaker's turn passes on; the handler is not called."""
    calls = []

    async def handle(event, context):
        calls.append(context.offset)
        if len(calls) == 1:
            bench.chain._pause.set(True)  # before the breaker lets the first probe through
            raise DependencyDown("away")

    settings = Settings(breaker_first_pause_s=0.05, breaker_longest_pause_s=0.05)
    bench = Bench(handle, settings=settings)
    bench.feed([record(0), record(1)])
    await _settle()
    assert calls == [0]

    await asyncio.sleep(0.2)  # several probes would be due
    assert calls == [0]
    bench.chain._pause.set(False)

    await bench.until_done()
    assert calls == [0, 0, 1]


async def test_what_cannot_be_decoded_waits_as_well():
    """It would become a dead letter, and an operator who pauses wants nothing to happen."""

    async def handle(_):
        """Do nothing."""

    bench = Bench(handle)
    bench.chain._pause.set(True)
    bench.feed([record(0, value=b"not json")])
    await _settle()
    assert bench.counters.invalid == 0

    bench.chain._pause.set(False)
    await bench.until_done()
    assert bench.counters.invalid == 1


def test_a_topic_covers_its_partitions():
    """And a partition that is paused by itself stays so when its topic goes on."""
    pauses = Pauses()
    first, other = pauses.of("t", 0), pauses.of("u", 0)

    pauses.order([("t", None), ("t", 1)])
    assert first.on
    assert pauses.of("t", 7).on
    assert not other.on
    assert pauses.names() == ["t", "t[1]"]
    pauses.order([("t", 1)])
    assert not first.on
    assert pauses.covers("t", 1)
    assert not pauses.covers("t", 7)


async def _settle():
    for _ in range(20):
        await asyncio.sleep(0)
