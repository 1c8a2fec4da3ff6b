"""What the consumer's thread has fetched comes to the runners: by no detour, or not at all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.types import TP

from tests.support.consumer_thread import ClientlessThread
from trunkline.delivery import faust_internals as ours

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


class Fetches:
    """A thread that notes how long each fetch would wait for records."""

    def __init__(self):
        self.waited_s = []

    async def fetch(self, tps, timeout_s, generation):
        self.waited_s.append(timeout_s)
        return {}, dict.fromkeys(tps, 0) if len(self.waited_s) > 1 else {}


async def test_a_new_assignment_does_not_wait_for_records_until_all_of_it_has_begun(monkeypatch):
    """Retries stand on partitions that nothing is published to: they are opened at once."""
    opened = []
    consumer = ours.Consumer.__new__(ours.Consumer)
    consumer._thread = thread = Fetches()
    consumer.trackers, consumer.rounds, consumer._unreadable_until = {}, 0, {}
    consumer._committed_offset = {PLACE: None}
    consumer._begun_generation, consumer._begins_until = -1, 0.0
    consumer.flow_active = True
    consumer._get_active_partitions = lambda: {PLACE}
    consumer.app = SimpleNamespace(
        batched_topics=frozenset({"t"}),
        consumer_generation_id=1,
        rebalancing=False,
        is_paused=lambda _: False,
        max_unfinished=10,
        max_unfinished_bytes=10,
        dispatcher=SimpleNamespace(opened=lambda tp, _: opened.append(tp)),
    )

    for _ in range(3):
        await consumer._fetch_once()
    assert thread.waited_s == [ours._RECHECK_S, ours._RECHECK_S, ours._POLL_S]
    assert opened == [PLACE]

    consumer.trackers.clear()  # as a rebalance does
    consumer.app.consumer_generation_id = 2
    await consumer._fetch_once()
    assert thread.waited_s[-1] == ours._RECHECK_S

    consumer.trackers.clear()
    consumer._begins_until = 0.0  # a leader has been away since
    await consumer._fetch_once()
    assert thread.waited_s[-1] == ours._POLL_S
