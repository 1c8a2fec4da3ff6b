"""The tasks that take what is due: woken in time, on every event loop, and loud when they die."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from trunkline.retries.workers import Workers


class Due:
    """Things that become due, in order of time; stands for a schedule."""

    def __init__(self):
        self.times = []
        self.done = []

    def add(self, in_s):
        self.times.append(time.monotonic() + in_s)
        self.times.sort()

    def take(self):
        if self.times and self.times[0] <= time.monotonic():
            return self.times.pop(0)
        return None

    def next_in_s(self):
        return self.times[0] - time.monotonic() if self.times else None

    async def run(self, due):
        await asyncio.sleep(0)
        self.done.append((due, time.monotonic()))


def no_death(error):
    raise AssertionError from error


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_everything_is_run_when_it_is_due_however_soon_that_is(new_loop):
    """Due times under a millisecond, at which uvloop makes no timer, and ones that come before."""

    async def scene():
        due = Due()
        workers = Workers(3, due.take, due.run, due.next_in_s, no_death)
        delays = [0.05, 0.03, 0.0004, 0.0001, 0.02, 0.0007, 0, 0.01]
        for delay in delays * 5:
            due.add(delay)
            workers.wake()
            await asyncio.sleep(0.0003)
        async with asyncio.timeout(5):
            while len(due.done) < 5 * len(delays):
                await asyncio.sleep(0.001)
        await workers.end(1)
        assert all(ran >= at for at, ran in due.done)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())


async def test_a_worker_that_dies_is_told_with_what_ended_it():
    """Its owner must begin anew: what the worker had taken is in nobody's hands."""
    due, died, said = Due(), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    async def fail(_due):
        raise RuntimeError("a mistake of ours")

    workers = Workers(2, due.take, fail, due.next_in_s, died.append)
    due.add(0)
    workers.wake()
    async with asyncio.timeout(5):
        while not died:
            await asyncio.sleep(0.001)
    await workers.end(1)
    assert [str(error) for error in died] == ["a mistake of ours"]
    assert said[0]["message"] == "A retry worker died"


async def test_a_worker_that_is_cancelled_from_within_is_told_too():
    """Only its owner may end it in silence: what it had taken would never be run."""
    due, died, said = Due(), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    async def cancel_itself(_due):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    workers = Workers(2, due.take, cancel_itself, due.next_in_s, died.append)
    due.add(0)
    workers.wake()
    async with asyncio.timeout(5):
        while not died:
            await asyncio.sleep(0.001)
    assert isinstance(died[0], asyncio.CancelledError)
    assert said
    await workers.end(1)
