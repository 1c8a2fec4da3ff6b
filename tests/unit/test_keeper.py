"""The keeper of held keys: what a new owner learns, what a release frees, and what is forgotten."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from models.failures import (
    WIRE_VERSION,
    HeldKey,
    HeldRange,
    decode_held_key,
    decode_held_range,
    encode,
)
from tests.support.source import Seen
from trunkline.delivery.failure import HELD, RECORD, Failure
from trunkline.delivery.handler import Context
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.keeper import HoldKeeper
from trunkline.delivery.offsets import OffsetTracker

KEY = HeldKey("hold", "t", 0, b"k")
RELEASE = KEY._replace(kind="release")


class Tail:
    """The held-keys topic, read to its end."""

    topic = "g.held-keys"
    connected = True
    positions: dict[int, int]

    def __init__(self):
        self.positions = {0: 5}

    async def ends(self):
        return {0: 5}

    def reached(self, partition):
        return self.positions.get(partition, 0)


class Written:
    """Keeps what is handed over and written."""

    def __init__(self):
        self.handed = []
        self.records = []

    def hand_over(self, handed):
        self.handed.append(handed)

    def write(self, records, tracker):
        assert not tracker.closed
        self.records += records

    def tombstones(self):
        return [decode_held_key(r.key) for r in self.records if r.value is None and not r.headers]


class World:
    """A keeper with a topic of held keys, and one source partition."""

    def __init__(self, committed=0):
        self.replica = HeldKeys(Tail())
        self.written = Written()
        self.keeper = HoldKeeper(
            self.replica,
            self.written,
            group="g",
            failures_topic="g.failures",
            held_keys_topic="g.held-keys",
        )
        self.tracker = OffsetTracker(0)
        self.tracker.begin(None if committed < 0 else committed)
        self.source = self.keeper.source(
            "t", 0, self.tracker, ordered=True, retries=lambda kind: kind == "transient"
        )

    def read(self, key, value):
        raw = None if value is None else encode(value)
        self.replica.take(
            SimpleNamespace(topic="h", partition=0, offset=0, key=encode(key), value=raw)
        )

    def hold(self, first, last):
        self.read(KEY, HeldRange(WIRE_VERSION, first, last, 1, 1, blocks=True))

    def verdict(self, offset, key=b"k"):
        return self.source.holds.verdict(Seen(key, offset, 1))

    def clean_up(self, committed):
        self.tracker.commit_done(committed)
        settled = self.source.holds.settled(self.tracker.committed)
        self.keeper._forget(list(settled), self.tracker)


async def test_a_new_owner_passes_over_what_was_handed_over_and_parks_what_comes_behind():
    """Other keys are handled as ever."""
    world = World()
    world.hold(3, 5)
    await world.source.take_over()
    assert [world.verdict(offset) for offset in (2, 3, 5, 6)] == [
        "park",
        "pass over",
        "pass over",
        "park",
    ]
    assert world.verdict(6, b"other") == "handle"
    assert world.keeper.blocked == 1


async def test_a_new_owner_asks_for_what_waits():
    """So that a key whose lane is empty by now is told to be free again."""
    world = World()
    world.hold(3, 5)
    await world.source.take_over()
    [question] = world.written.records
    assert (question.topic, question.key) == ("g.failures", b"k")
    assert dict(question.headers)[RECORD] == b"ask"


async def test_what_was_released_before_the_take_over_blocks_nobody():
    """Its events are passed over all the same."""
    world = World()
    world.hold(3, 5)
    world.read(RELEASE, 5)
    await world.source.take_over()
    assert [world.verdict(offset) for offset in (4, 6)] == ["pass over", "handle"]


async def test_without_a_commit_of_the_group_the_holds_are_of_another_topic():
    """They are dropped: a topic that was made anew counts its offsets from 0 again."""
    world = World(committed=-1)
    world.hold(0, 5)
    world.read(RELEASE, 5)
    await world.source.take_over()
    assert world.verdict(3) == "handle"
    assert world.written.tombstones() == [KEY, RELEASE]


async def test_a_commit_of_this_assignment_makes_no_hold_believed():
    """An empty partition is committed too: its topic may have been made anew for all that."""
    world = World(committed=-1)
    world.hold(0, 5)
    world.tracker.commit_done(0)
    await world.source.take_over()
    assert world.verdict(3) == "handle"
    assert world.written.tombstones() == [KEY]


@pytest.mark.parametrize(("offset", "verdict"), [(5, "handle"), (3, "park"), (9, "park")])
async def test_only_a_release_of_the_last_event_frees_the_key(offset, verdict):
    """An older one was written before the worker parked more behind it."""
    world = World()
    world.hold(3, 5)
    await world.source.take_over()
    world.read(RELEASE, offset)
    assert world.verdict(6) == verdict


async def test_a_hold_is_forgotten_only_when_it_is_released_and_committed_past():
    """Until then a redelivery would have to be passed over."""
    world = World()
    world.hold(3, 5)
    await world.source.take_over()
    world.clean_up(6)
    assert not world.written.tombstones()
    world.read(RELEASE, 5)
    world.tracker.committed = 5
    world.clean_up(5)
    assert not world.written.tombstones()
    world.clean_up(6)
    assert world.written.tombstones() == [KEY, RELEASE]
    assert not world.source.holds


async def test_a_late_answer_for_a_key_that_is_not_held_is_removed_from_the_topic():
    """Else it would stand there for ever."""
    world = World()
    await world.source.take_over()
    world.read(RELEASE, 5)
    assert world.written.tombstones() == [RELEASE]


async def test_partitions_that_were_given_up_are_left_alone():
    """Their releases are another worker's business."""
    world = World()
    await world.source.take_over()
    world.keeper.give_up()
    world.read(RELEASE, 5)
    assert not world.written.records


async def test_an_event_goes_with_its_hold_and_parked_ones_behind_it():
    """The hold reaches from the first to the last event that was handed over."""
    world = World()
    await world.source.take_over()
    failure = Failure.of(RuntimeError("no"), "transient")
    world.source.hand_over(Context("t", 0, 3, 1, b"k", b"v"), failure, lambda: None)
    world.source.park(Context("t", 0, 7, 1, b"k", b"v"), lambda: None)
    first, second = world.written.handed
    assert dict(first.record.headers)[HELD] == dict(second.record.headers)[HELD] == b"1"
    assert (first.key, first.held.last, first.held.blocks) == (KEY, 3, True)
    assert (second.key, second.held.first, second.held.last) == (KEY, 3, 7)
    assert not world.source.holds.release(b"k", 3)


async def test_a_stranger_s_record_in_the_topic_stops_nothing():
    """It is logged and passed over."""
    world = World()
    stranger = SimpleNamespace(topic="h", partition=0, offset=0, key=b"\xc1", value=b"?")
    world.replica.take(stranger)
    world.hold(3, 5)
    found = world.replica.get(KEY)
    assert found == decode_held_range(encode(HeldRange(WIRE_VERSION, 3, 5, 1, 1, blocks=True)))
