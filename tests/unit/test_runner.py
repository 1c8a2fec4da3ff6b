"""Runners: order, concurrency, draining, and failures that stop nobody."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any, NamedTuple

import pytest

from models import UserRegistered
from tests.support.source import FakeSource
from trunkline.delivery.chain import Chain
from trunkline.delivery.failing import make_target
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.runner import runner_for
from trunkline.errors import ConfigurationError, Permanent
from trunkline.retries.policy import RetryPolicy
from trunkline.settings import Settings


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Any
    value: Any
    headers: Any


def record(offset, key=b"k", value=None, user="u"):
    body = b'{"userId":"%s","email":"a@b"}' % user.encode() if value is None else value
    return Record("t", 0, offset, 1, key, body, ())


class Bench:
    """A runner with its tracker, target and source."""

    def __init__(self, handler, source=None, policy=None, settings=None, **options):
        self.tracker = OffsetTracker(0)
        self.source = source or FakeSource()
        subscription = Subscription("t", UserRegistered, handler, **options)
        self.target = make_target(subscription, policy or RetryPolicy(), settings or Settings())
        self.counters = self.target.counters
        self.chain = Chain(self.target, self.tracker, self.source, 0)
        self.runner = runner_for(subscription, self.chain, lambda: None)

    def feed(self, records):
        self.tracker.deliver([r.offset for r in records], records[-1].offset + 1)
        self.runner.feed(records)

    async def until_done(self, timeout_s=30):
        async with asyncio.timeout(timeout_s):
            while self.tracker.unfinished:
                await asyncio.sleep(0.001)


async def test_serial_handles_in_offset_order_and_finishes():
    """One event after the other, however long each takes."""
    seen = []

    async def handle(event):
        await asyncio.sleep(random.random() / 1000)
        seen.append(event.user_id)

    bench = Bench(handle)
    bench.feed([record(i, user=str(i)) for i in range(50)])
    await bench.until_done()
    assert seen == [str(i) for i in range(50)]
    assert bench.tracker.committable == 50
    assert await bench.runner.drain(1)


@pytest.mark.parametrize("suspends", [True, False])
async def test_keyed_keeps_the_order_of_each_key(suspends):
    """Keys overtake each other, events of one key never do, and never run at once."""
    seen, running, most = defaultdict(list), set(), 0

    async def handle(event, context):
        nonlocal most
        assert context.key not in running
        running.add(context.key)
        most = max(most, len(running))
        if suspends:
            await asyncio.sleep(random.random() / 500)
        running.discard(context.key)
        seen[context.key].append(context.offset)

    bench = Bench(handle, concurrency=8)
    rng = random.Random(7)
    for start in range(0, 400, 40):
        bench.feed([record(i, key=b"%d" % rng.randrange(20)) for i in range(start, start + 40)])
    await bench.until_done()
    assert all(offsets == sorted(offsets) for offsets in seen.values())
    assert sum(map(len, seen.values())) == 400
    assert most == (8 if suspends else 1)
    assert await bench.runner.drain(1)


async def test_events_without_a_key_go_freely():
    """Null keys wait for nobody: as many run at once as concurrency allows."""
    gate = asyncio.Event()
    running = 0

    async def handle(event):
        nonlocal running
        running += 1
        await gate.wait()

    bench = Bench(handle, concurrency=5)
    bench.feed([record(i, key=None) for i in range(10)])
    async with asyncio.timeout(2):
        while running < 5:
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert running == 5
    gate.set()
    await bench.until_done()
    assert running == 10
    await bench.runner.drain(1)


async def test_one_slow_key_stops_no_other_key_even_across_fetches():
    """There is no barrier between batches."""
    gate = asyncio.Event()
    done = []

    async def handle(event, context):
        if context.key == b"slow":
            await gate.wait()
        done.append(context.offset)

    bench = Bench(handle, concurrency=3)
    bench.feed([record(0, key=b"slow"), record(1, key=b"slow")])
    for offset in range(2, 30):
        bench.feed([record(offset, key=b"%d" % (offset % 7))])
    async with asyncio.timeout(2):
        while len(done) < 28:
            await asyncio.sleep(0)
    assert bench.tracker.committable == 0
    gate.set()
    await bench.until_done()
    assert bench.tracker.committable == 30
    await bench.runner.drain(1)


async def test_failures_are_handed_over_and_stop_nobody():
    """Invalid, permanent and transient failures each go their way; good events go on."""

    async def handle(event):
        if event.user_id == "bad":
            raise ValueError("no")
        if event.user_id == "never":
            raise RuntimeError("wrapped") from Permanent("never")

    bench = Bench(handle)
    bench.feed(
        [
            record(0),
            record(1, user="bad"),
            record(2, user="never"),
            record(3, value=b"{"),
            record(4, value=b'{"userId": 7, "email": "a@b"}'),
            Record("t", 0, 5, 1, b"k", None, ()),
            record(6, key=b"\xff\xfe"),
            record(7, value=b'{"userId":"\xff","email":"a@b"}'),
            record(8),
        ]
    )
    await bench.until_done()
    kinds = {offset: failure.kind for offset, failure in bench.source.failed}
    assert kinds == {
        1: "transient",
        2: "permanent",
        3: "invalid",
        4: "invalid",
        5: "invalid",
        6: "invalid",
        7: "invalid",
    }
    messages = {offset: failure.message for offset, failure in bench.source.failed}
    assert messages[4] == "$.userId: Expected `str`, got `int`"
    assert "null" in messages[5]
    assert "key" in messages[6]
    assert bench.counters.handled == 2
    await bench.runner.drain(1)


async def test_an_event_is_finished_only_when_its_hand_over_is_acknowledged():
    """Until the broker has the failed event, nothing behind it may be committed."""

    async def handle(event):
        raise ValueError("no")

    source = FakeSource(acknowledge=False)
    bench = Bench(handle, source)
    bench.feed([record(0)])
    async with asyncio.timeout(1):
        while not source.waiting:
            await asyncio.sleep(0)
    assert bench.tracker.committable == 0
    assert not await bench.runner.drain(0.05)
    source.waiting[0]()
    assert bench.tracker.committable == 1


async def test_a_handler_cut_off_by_draining_is_not_finished():
    """A handler that does not end in time is cancelled, and its event comes again."""
    cancelled = []

    async def handle(event, context):
        if context.offset == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(context.offset)
                raise

    bench = Bench(handle)
    bench.feed([record(0), record(1), record(2)])
    async with asyncio.timeout(1):
        while bench.counters.handled < 1:
            await asyncio.sleep(0)
    assert not await bench.runner.drain(0.05)
    assert cancelled == [1]
    assert bench.tracker.committable == 1
    assert not bench.source.failed


async def test_a_cancellation_that_the_handler_lets_slip_is_its_failure():
    """A CancelledError from inside a handler kills neither the runner nor the event."""

    async def handle(event, context):
        if context.offset == 0:
            raise asyncio.CancelledError

    bench = Bench(handle)
    bench.feed([record(0), record(1)])
    await bench.until_done()
    assert [offset for offset, _ in bench.source.failed] == [0]
    assert bench.counters.handled == 1
    await bench.runner.drain(1)


async def test_a_failing_batch_is_handled_event_by_event():
    """Only the bad events of a batch fail; batches respect max_batch and the order."""
    batches = []

    async def handle(events, contexts: list[Context]):
        batches.append([c.offset for c in contexts])
        if any(event.user_id == "bad" for event in events):
            raise ValueError("bad")

    bench = Bench(handle, shape="batch", max_batch=4)
    users = ["a", "b", "c", "d", "e", "bad", "g", "h", "i"]
    bench.feed([record(i, user=user) for i, user in enumerate(users)] + [record(9, value=b"x")])
    await bench.until_done()
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [4], [5], [6], [7], [8]]
    assert [(offset, f.kind) for offset, f in bench.source.failed] == [
        (5, "transient"),
        (9, "invalid"),
    ]
    assert bench.counters.handled == 8
    await bench.runner.drain(1)


async def test_a_handler_that_never_suspends_lets_the_loop_breathe():
    """Timers run while a long batch of quick events is handled."""
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def handle(event):
        pass

    for options in ({}, {"concurrency": 4}):
        ticks = 0
        task = asyncio.create_task(tick())
        bench = Bench(handle, **options)
        bench.feed([record(i) for i in range(150_000)])
        await bench.until_done(20)
        task.cancel()
        assert ticks > 3
        await bench.runner.drain(1)


def test_subscription_says_what_is_wrong_with_a_handler():
    """Wrong handlers and sizes are refused before anything starts."""

    def plain(event):
        pass

    async def three(a, b, c):
        pass

    async def good(event):
        pass

    with pytest.raises(ConfigurationError, match="async def"):
        Subscription("t", UserRegistered, plain)
    with pytest.raises(ConfigurationError, match="3 arguments"):
        Subscription("t", UserRegistered, three)
    with pytest.raises(ConfigurationError, match="at least 1"):
        Subscription("t", UserRegistered, good, concurrency=0)
    with pytest.raises(ConfigurationError, match="concurrency is 1"):
        Subscription("t", UserRegistered, good, shape="batch", concurrency=2)
