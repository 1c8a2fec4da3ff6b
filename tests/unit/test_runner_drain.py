"""Draining by key leaves no hole below what is finished, so that a restart repeats nothing."""

from __future__ import annotations

import asyncio

from tests.unit.test_runner import Bench, record


async def test_draining_by_key_leaves_no_hole_behind_what_is_finished():
    """An event that waits behind its key is handled still if a later offset is done already."""
    gate = asyncio.Event()
    done = []

    async def handle(event, context):
        if context.offset == 0:
            await gate.wait()
        done.append(context.offset)

    bench = Bench(handle, concurrency=2)
    # Offsets 0, 1 and 3 share a slow key; 2 is done long before them; of 3 nothing depends.
    bench.feed([record(0, b"slow"), record(1, b"slow"), record(2, b"quick"), record(3, b"slow")])
    async with asyncio.timeout(5):
        while done != [2]:
            await asyncio.sleep(0)
    draining = asyncio.create_task(bench.runner.drain(5))
    await asyncio.sleep(0)
    gate.set()
    assert await draining
    assert done == [2, 0, 1]
    assert bench.tracker.committable == 3


async def test_draining_begins_nothing_behind_the_last_begun_event():
    """What is fed during or left over at the end is not begun: it comes again elsewhere."""
    begun = []
    gate = asyncio.Event()

    async def handle(event, context):
        begun.append(context.offset)
        await gate.wait()

    bench = Bench(handle, concurrency=2)
    bench.feed([record(offset, b"k%d" % offset) for offset in range(10)])
    async with asyncio.timeout(5):
        while len(begun) < 2:
            await asyncio.sleep(0)
    draining = asyncio.create_task(bench.runner.drain(5))
    await asyncio.sleep(0)
    bench.feed([record(10, b"late")])
    gate.set()
    assert await draining
    assert begun == [0, 1]
    assert bench.tracker.committable == 2
