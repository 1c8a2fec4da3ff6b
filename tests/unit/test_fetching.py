"""What the consumer's thread has fetched comes to the runners: by no detour, or not at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP
from mode.threads import QueueServiceThread

from trunkline.delivery import faust_internals as ours

PLACE = TP("t", 0)
RECORD = SimpleNamespace(offset=7, timestamp=1_000, timestamp_type=0, value=b"{}")


class Thread(ours.ConsumerThread):
    """A consumer's thread without a client."""

    def __init__(self):
        self._fetching = set()
        self.fetches = []
        QueueServiceThread.__init__(self)

    def __post_init__(self):
        """Have nothing to do with the consumer that Faust wants here."""

    async def on_start(self):
        """Start no client."""

    async def on_thread_stop(self):
        """Stop the queue alone."""
        await self.method_queue.stop()

    async def _fetch(self, active, timeout_s, generation):
        self.fetches.append(generation)
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
