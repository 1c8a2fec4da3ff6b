"""A topic is followed through everything that may happen to it (a fake tail)."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.support.waiting import eventually
from trunkline.delivery.follower import TopicFollower
from trunkline.errors import BrokerError


class Record(NamedTuple):
    """What aiokafka's records are to us."""

    partition: int
    offset: int
    topic: str = "t"


class FakeTail:
    """Gives batches one after the other; an exception is raised, an int sets a position back."""

    topic = "t"

    def __init__(self, *steps, exists=True):
        self.steps = list(steps)
        self.positions = {0: 0}
        self.connected = False
        self.exists = exists
        self.opened = 0

    @property
    def caught_up(self):
        return not self.steps

    async def open(self):
        self.opened += 1
        self.connected = self.exists
        exists, self.exists = self.exists, True
        return exists

    async def close(self):
        self.connected = False

    async def poll(self):
        if not self.steps:
            return []
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, int):
            self.positions[0] = step
            return []
        return [Record(0, offset) for offset in step]


@pytest.fixture
async def follow():
    """Return a function that follows tails, one after the other; ends them."""
    started = []

    async def start(*tails):
        taken = []
        queue = list(tails)
        made = TopicFollower(lambda: queue.pop(0), taken.append, taken.clear)
        started.append(made)
        await made.start()
        await eventually(lambda: made.ready and not queue, 10, "all to be read")
        return made, [record.offset for record in taken]

    yield start
    for made in started:
        await made.stop()


async def test_reads_all_and_goes_on(follow):
    """In order, and positions move behind what was taken."""
    tail = FakeTail([0, 1], [2])
    made, offsets = await follow(tail)
    assert offsets == [0, 1, 2]
    assert tail.positions == {0: 3}
    assert made.connected


async def test_waits_for_a_topic_that_does_not_exist(follow):
    """It is made later: then it is read."""
    tail = FakeTail([0], exists=False)
    _, offsets = await follow(tail)
    assert (offsets, tail.opened) == ([0], 2)


async def test_a_lost_broker_costs_no_record(follow):
    """The client is made anew, and goes on behind what was taken."""
    tail = FakeTail([0], BrokerError("away"), [1])
    _, offsets = await follow(tail)
    assert (offsets, tail.opened) == ([0, 1], 2)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(follow):
    """What the old one said is forgotten."""
    _, offsets = await follow(FakeTail([0, 1, 2], 0, []), FakeTail([0]))
    assert offsets == [0]


async def test_a_record_that_cannot_be_taken_does_not_end_the_reading():
    """A stranger's record is passed over, and a mistake of ours in the client got over."""
    taken = []

    def take(record):
        if record.offset == 1:
            raise RecursionError
        taken.append(record.offset)

    made = TopicFollower(lambda: FakeTail([0, 1, 2], AttributeError("ours"), [3]), take, list)
    await made.start()
    try:
        await eventually(lambda: taken == [0, 2, 3], 10, "all to be read")
    finally:
        await made.stop()
