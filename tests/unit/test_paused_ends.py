"""The ends of what is paused are asked for without holding up what is not."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from tests.support.consumer_thread import ClientlessThread
from trunkline.delivery import faust_internals as ours

PLACE = TP("t", 0)


class Thread(ClientlessThread):
    """A consumer's thread whose brokers never answer a question for ends."""

    asked = given_up = 0

    async def _highwaters(self, _):
        self.asked += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1

    async def answer(self):
        """Be what a fetch or a commit is: a call."""
        return "answered"


@pytest.fixture
async def thread():
    made = Thread()
    await made.start()
    yield made
    await made.stop()


async def test_a_leader_that_is_away_blocks_no_call_of_the_thread(thread, monkeypatch):
    """Two such questions would take both workers of its queue: nothing would be fetched."""
    monkeypatch.setattr(ours, "COMMIT_TIMEOUT_S", 0.05)
    consumer = ours.Consumer.__new__(ours.Consumer)
    consumer._thread = thread

    for _ in range(3):
        await consumer.ask_for_ends({PLACE})

    assert await asyncio.wait_for(thread.call_thread(thread.answer), 2) == "answered"
    assert consumer._asked_ends == {}
    assert (thread.asked, thread.given_up) == (3, 3)
