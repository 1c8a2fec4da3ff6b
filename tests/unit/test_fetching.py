"""What the consumer's thread has fetched comes to the runners: by no detour, or not at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP

from tests.support.consumer_thread import ClientlessThread

PLACE = TP("t", 0)
RECORD = SimpleNamespace(offset=7, timestamp=1_000, timestamp_type=0, value=b"{}")


class Thread(ClientlessThread):
    """Its client has one record for every generation."""

    async def _fetch(self, active, timeout_s, generation):
        if generation < 0:
            raise ValueError("no such generation")
        return {PLACE: [RECORD]}, {PLACE: 8}


@pytest.fixture
async def thread():
    made = Thread()
    await made.start()
    yield made
    await made.stop()


async def test_a_fetch_waits_for_no_other_call(thread):
    """Those take the two workers of the thread's queue."""
    never = asyncio.Event()
    calls = [asyncio.create_task(thread.call_thread(never.wait)) for _ in range(2)]
    await asyncio.sleep(0)

    fetched = await asyncio.wait_for(thread.fetch({PLACE}, 1.0, 1), 5)

    assert fetched == ({PLACE: [RECORD]}, {PLACE: 8})
    for call in calls:
        call.cancel()


async def test_an_error_of_a_fetch_comes_to_who_asked(thread):
    with pytest.raises(ValueError, match="no such generation"):
        await asyncio.wait_for(thread.fetch({PLACE}, 1.0, -1), 5)


async def test_a_fetch_that_nobody_waits_for_takes_nothing():
    thread = Thread.__new__(Thread)
    thread._fetching = set()
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()

    thread._begin_fetch(given_up, {PLACE}, 1.0, 1)

    assert not thread._fetching
