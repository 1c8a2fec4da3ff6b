"""The holds of a source partition pass over what was handed over, and park what waits for it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from models.failures import WIRE_VERSION, HeldKey, HeldRange
from trunkline.delivery.holds import Hold, PartitionHolds


class Record(NamedTuple):
    """A delivered record."""

    offset: int
    key: bytes | None = b"k"
    timestamp: int = 1_000


@pytest.fixture
def holds():
    """Return the holds of an ordered partition."""
    return PartitionHolds("t", 0)


def successor(written, *, ordered=True, released=()):
    """Return the holds of the next owner, who reads what was written."""
    after = PartitionHolds("t", 0, ordered=ordered)
    after.restore(
        (at, Hold.of(held, blocks=held.blocks and at.key not in released))
        for at, held in dict(written).items()
    )
    return after


def test_handles_everything_while_nothing_is_held(holds):
    """Without a hold there is nothing to look at."""
    assert not holds
    assert holds.verdict(Record(0)) == "handle"
    assert holds.blocked == 0


def test_parks_a_key_behind_its_failed_event(holds):
    """Later events of the key wait, other keys and keyless events flow."""
    holds.hand_over(Record(5), waits=True)
    assert holds
    assert holds.blocked == 1
    assert holds.verdict(Record(6)) == "park"
    assert holds.verdict(Record(6, b"other")) == "handle"
    assert holds.verdict(Record(6, None)) == "handle"
    assert list(holds.waiting()) == [(b"k", 5)]


def test_writes_what_is_held(holds):
    """One record for the key: its range grows with every event that is parked."""
    at = HeldKey("hold", "t", 0, b"k")
    held = HeldRange(WIRE_VERSION, 5, 5, 1_000, 1_000, blocks=True)
    assert holds.hand_over(Record(5), waits=True) == (at, held)
    longer = HeldRange(WIRE_VERSION, 5, 7, 900, 1_000, blocks=True)
    assert holds.hand_over(Record(7, timestamp=900), waits=True) == (at, longer)


def test_a_key_goes_on_when_its_last_parked_event_is_released(holds):
    """A release of an earlier offset is none: there is something behind it."""
    holds.hand_over(Record(5), waits=True)
    holds.hand_over(Record(6), waits=True)
    assert not holds.release(b"k", 5)
    assert holds.verdict(Record(7)) == "park"
    assert holds.release(b"k", 6)
    assert holds.verdict(Record(7)) == "handle"
    assert list(holds.waiting()) == []
    assert not holds.release(b"k", 6)
    assert not holds.release(b"stranger", 6)
    assert holds.knows(b"k")
    assert not holds.knows(b"stranger")


def test_a_successor_passes_over_what_was_handed_over(holds):
    """Uncommitted events come again; those that wait elsewhere are not handled twice."""
    after = successor([holds.hand_over(Record(o), waits=True) for o in (5, 7)])
    assert after.verdict(Record(5)) == "pass over"
    assert after.verdict(Record(7)) == "pass over"
    assert after.verdict(Record(8)) == "park"
    assert after.verdict(Record(5, b"other")) == "handle"


def test_a_released_key_goes_on_at_the_successor(holds):
    """What was handed over is passed over all the same."""
    after = successor([holds.hand_over(Record(5), waits=True)], released={b"k"})
    assert after.verdict(Record(5)) == "pass over"
    assert after.verdict(Record(6)) == "handle"
    assert after.blocked == 0


def test_a_successor_passes_over_the_events_that_were_handled_before(holds):
    """What was handled is not parked behind a later event, whatever the clocks say."""
    holds.deliver([Record(3, timestamp=1_900), Record(4, b"other"), Record(5)])
    holds.deliver([Record(6, timestamp=100)])
    after = successor([holds.hand_over(Record(5), waits=True)])
    assert after.verdict(Record(3, timestamp=1_900)) == "pass over"
    assert after.verdict(Record(4, b"other")) == "handle"
    assert after.verdict(Record(6, timestamp=100)) == "park"


def test_covers_every_batch_that_was_delivered(holds):
    """The lowest timestamp counts as the highest does, and nothing before the first offset."""
    holds.deliver([Record(3, timestamp=100), Record(4)])
    holds.deliver([Record(5)])
    after = successor([holds.hand_over(Record(5), waits=True)])
    assert after.verdict(Record(3, timestamp=100)) == "pass over"
    assert after.verdict(Record(2)) == "park"


def test_a_second_hold_covers_what_was_handled_since_the_first(holds):
    """The predecessor's range stays in it, though this owner was not given those events."""
    written = [holds.hand_over(Record(5, timestamp=100), waits=True)]
    after = successor(written, released={b"k"})
    after.deliver([Record(9, timestamp=1_900), Record(12)])
    last = successor([after.hand_over(Record(12), waits=True)])
    assert last.verdict(Record(5, timestamp=100)) == "pass over"
    assert last.verdict(Record(9, timestamp=1_900)) == "pass over"
    assert last.verdict(Record(13)) == "park"


def test_an_empty_batch_is_none(holds):
    """A fetch may bring nothing."""
    holds.deliver([])
    assert not holds


@pytest.mark.parametrize(
    ("ordered", "key", "waits"), [(True, None, True), (False, b"k", True), (True, b"k", False)]
)
def test_holds_a_single_event_that_nobody_waits_for(ordered, key, waits):
    """Keyless events, unordered topics and events that are dead at once block no key."""
    holds = PartitionHolds("t", 0, ordered=ordered)
    at, held = holds.hand_over(Record(5, key), waits=waits)
    assert at == HeldKey("hold", "t", 0, None, 5)
    assert not held.blocks
    after = successor([(at, held)], ordered=ordered)
    assert after
    assert after.verdict(Record(5, key)) == "pass over"
    assert after.verdict(Record(6, key)) == "handle"
    assert after.blocked == 0


def test_a_dead_event_of_a_key_that_waits_leaves_the_key_waiting(holds):
    """It is held by itself, and the key's hold stays as it is."""
    holds.hand_over(Record(5), waits=True)
    at, held = holds.hand_over(Record(7), waits=False)
    assert (at.key, held.blocks) == (None, False)
    assert holds.verdict(Record(8)) == "park"
    assert holds.release(b"k", 5)


def test_a_topic_that_is_not_ordered_any_more_waits_for_nothing(holds):
    """Or the lanes of its held keys would grow without an end."""
    written = [holds.hand_over(Record(5), waits=True)]
    after = successor(written, ordered=False)
    assert after.verdict(Record(5)) == "pass over"
    assert after.verdict(Record(6)) == "handle"


def test_forgets_what_nobody_will_deliver_again(holds):
    """A hold stays while it blocks, or while one of its events may come again."""
    holds.hand_over(Record(5), waits=True)
    holds.hand_over(Record(6), waits=True)
    holds.hand_over(Record(7, None), waits=True)
    assert list(holds.settled(7)) == []
    holds.release(b"k", 6)
    assert list(holds.settled(6)) == []
    assert list(holds.settled(7)) == [HeldKey("hold", "t", 0, b"k")]
    assert not holds.knows(b"k")
    assert list(holds.settled(8)) == [HeldKey("hold", "t", 0, None, 7)]
    assert not holds
    assert list(holds.settled(9)) == []


@pytest.mark.parametrize("key", [b"k", None])
def test_a_topic_made_anew_is_not_taken_for_the_old_one(holds, key):
    """The same offset with a later timestamp is another event."""
    after = successor([holds.hand_over(Record(5, key), waits=True)])
    assert after.verdict(Record(5, key, 2_000)) != "pass over"
    assert after.verdict(Record(5, key, 500)) != "pass over"
    assert after.verdict(Record(5, key)) == "pass over"


def test_a_hold_of_the_old_topic_does_not_make_the_new_one_longer(holds):
    """Times between the two are the new topic's."""
    holds.deliver([Record(0)])
    after = successor([holds.hand_over(Record(10), waits=True)])
    after.hand_over(Record(2, timestamp=2_000), waits=True)
    assert after.verdict(Record(1, timestamp=1_500)) == "park"


def test_a_hold_of_a_topic_made_anew_replaces_the_old_one(holds):
    """Its last event is the one that was handed over last, not the one with the highest offset."""
    holds.deliver([Record(offset) for offset in range(11)])
    holds.hand_over(Record(10), waits=True)
    holds.deliver([Record(offset, timestamp=2_000) for offset in range(3)])
    holds.hand_over(Record(2, timestamp=2_000), waits=True)
    assert holds.verdict(Record(3, timestamp=2_000)) == "park"
    assert not holds.release(b"k", 10)
    assert holds.release(b"k", 2)
    assert holds.verdict(Record(5, timestamp=2_000)) == "handle"
