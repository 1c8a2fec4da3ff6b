"""The schedule tries a key's events one after the other, and nothing before it is due."""

from __future__ import annotations

from models.failures import EventId
from trunkline.retries.schedule import Schedule, Waiting

LANE = ("t", 0, b"k")
OTHER = ("t", 0, b"other")


class Scene:
    """A schedule, what it released, and events whose order is their offset."""

    def __init__(self):
        self.released = []
        self.schedule = Schedule(lambda lane, last: self.released.append((lane, last)))
        self.order = -1

    def add(self, offset, lane=LANE, *, held=True, **state):
        """Let an event wait; returns it."""
        self.order += 1
        event = EventId("t", 0, offset, 1_000)
        waiting = Waiting(event, lane, self.order, held=held and lane is not None, **state)
        assert self.schedule.add(waiting)
        return waiting

    def offsets(self, now_ms=100):
        """Take all that is due, and finish it; returns in which order it came."""
        taken = []
        while (waiting := self.schedule.take(now_ms)) is not None:
            taken.append(waiting.id.offset)
            self.schedule.finish(waiting)
        return taken


def test_takes_nothing_before_it_is_due():
    """An event is taken at its due time, not a millisecond earlier."""
    scene = Scene()
    waiting = scene.add(1, None, due_ms=50)
    assert scene.schedule.next_due_ms() == 50
    assert scene.schedule.take(49) is None
    assert scene.schedule.take(50) is waiting
    assert scene.schedule.next_due_ms() is None


def test_takes_what_has_been_due_for_the_longest_time_first():
    """Due times decide; equal ones go in the order of handing over."""
    scene = Scene()
    for offset, due_ms in ((1, 30), (2, 10), (3, 20), (4, 10)):
        scene.add(offset, None, due_ms=due_ms)
    assert scene.offsets() == [2, 4, 3, 1]


def test_takes_an_event_once_while_it_runs():
    """What runs is not taken again."""
    scene = Scene()
    scene.add(1)
    assert scene.schedule.take(0) is not None
    assert scene.schedule.take(0) is None


def test_tries_a_key_in_the_order_of_handing_over():
    """Only the head of a lane is tried, however long its followers have been due."""
    scene = Scene()
    head = scene.add(5, due_ms=50)
    scene.add(6)
    scene.add(7)
    assert scene.schedule.take(49) is None
    assert scene.schedule.parked == 2
    assert [w.id.offset for w in scene.schedule.behind(head)] == [6, 7]
    assert scene.offsets() == [5, 6, 7]
    assert (len(scene.schedule), scene.schedule.lanes, scene.schedule.parked) == (0, 0, 0)


def test_other_keys_and_keyless_events_do_not_wait_for_a_lane():
    """A lane whose head waits holds nobody else."""
    scene = Scene()
    scene.add(1, due_ms=1_000)
    scene.add(2, OTHER)
    lonely = scene.add(3, None)
    assert scene.schedule.behind(lonely) == []
    assert scene.offsets() == [2, 3]


def test_an_event_that_failed_again_keeps_its_place_in_front():
    """The lane goes on waiting, until the new due time."""
    scene = Scene()
    scene.add(1)
    scene.add(2)
    head = scene.schedule.take(10)
    scene.schedule.again(head, 40, attempts=2)
    assert (head.attempts, head.running, head.exhausted) == (2, False, False)
    assert scene.schedule.take(39) is None
    assert scene.offsets(40) == [1, 2]


def test_an_exhausted_event_comes_again_to_be_buried():
    """It says of itself that it has no attempts left, and keeps its count."""
    scene = Scene()
    scene.add(1, attempts=3)
    head = scene.schedule.take(0)
    scene.schedule.again(head, 0, attempts=4, exhausted=True)
    assert scene.schedule.take(0) is head
    assert head.exhausted
    scene.schedule.again(head, 5, exhausted=True)
    assert head.attempts == 4


def test_a_long_lane_does_not_get_in_front_of_what_is_due():
    """A parked event is due from when it becomes the head, not since ever."""
    scene = Scene()
    scene.add(1, due_ms=10)
    scene.add(2)
    scene.add(3)
    scene.add(9, None, due_ms=20)
    scene.schedule.finish(scene.schedule.take(30))
    assert scene.offsets(31) == [9, 2, 3]


def test_a_follower_that_has_failed_already_waits_for_its_own_time_too():
    """It was handed over behind a redriven event of its key, which held nobody back."""
    scene = Scene()
    scene.add(1, held=False)
    scene.add(2, attempts=1, due_ms=50)
    assert scene.offsets(49) == [1]
    assert scene.offsets(50) == [2]


def test_a_second_copy_of_a_waiting_event_changes_nothing():
    """The same event, handed over once more, neither waits twice nor delays the release."""
    scene = Scene()
    first = scene.add(5, attempts=2)
    copy = Waiting(first.id, LANE, 9, held=True)
    assert not scene.schedule.add(copy)
    assert scene.schedule.get(first.id) is first
    assert scene.offsets() == [5]
    assert scene.released == [(LANE, 5)]
    assert scene.schedule.get(first.id) is None


def test_an_event_that_is_through_may_wait_again():
    """A redriven event is taken once, though its first life's place in time still stands."""
    scene = Scene()
    first = scene.add(5, None, due_ms=50)
    scene.schedule.hurry(first.id)
    assert scene.offsets(0) == [5]
    scene.add(5, None, due_ms=60)
    assert scene.offsets(59) == []
    assert scene.offsets(60) == [5]


def test_a_discarded_event_may_wait_again():
    """Its first life's place in time does not stand for its second one."""
    scene = Scene()
    scene.schedule.discard(scene.add(5, None, due_ms=50).id)
    again = scene.add(5, None, due_ms=60)
    assert scene.schedule.next_due_ms() == 60
    assert scene.schedule.take(59) is None
    assert scene.schedule.take(60) is again


def test_releases_a_lane_when_its_last_held_event_is_through():
    """One release for the lane, with the last offset that was held."""
    scene = Scene()
    scene.add(5)
    scene.add(8)
    scene.schedule.finish(scene.schedule.take(0))
    assert scene.released == []
    assert scene.schedule.holds(LANE)
    scene.schedule.finish(scene.schedule.take(0))
    assert scene.released == [(LANE, 8)]
    assert not scene.schedule.holds(LANE)


def test_releases_nothing_for_events_that_hold_nobody():
    """A redriven event stands in its key's lane, but the source does not wait for it."""
    scene = Scene()
    scene.add(5, held=False)
    assert not scene.schedule.holds(LANE)
    scene.add(8)
    scene.add(6, held=False)
    assert scene.schedule.holds(LANE)
    assert scene.offsets() == [5, 8, 6]
    assert scene.released == [(LANE, 8)]


def test_a_lane_that_fills_again_is_released_again():
    """What is held after a release is a new hold."""
    scene = Scene()
    scene.add(5)
    scene.add(6, held=False)
    scene.schedule.finish(scene.schedule.take(0))
    scene.add(9)
    assert scene.offsets() == [6, 9]
    assert scene.released == [(LANE, 5), (LANE, 9)]


def test_releases_the_offset_that_was_handed_over_last():
    """A topic that was made anew counts from 0 again: its offset 2 comes after the old 10."""
    scene = Scene()
    scene.add(10)
    scene.add(2)
    assert scene.offsets() == [10, 2]
    assert scene.released == [(LANE, 2)]


def test_finishes_an_event_out_of_its_turn():
    """The head stays the head, and is taken once."""
    scene = Scene()
    scene.add(5)
    scene.add(6)
    follower = scene.add(7)
    assert scene.schedule.finish(follower) == [follower]
    assert scene.offsets() == [5, 6]
    assert scene.released == [(LANE, 7)]


def test_hurries_an_event_that_waits_for_its_time():
    """It is due at once, with one attempt more if it had none left, and taken only once."""
    scene = Scene()
    waiting = scene.add(5, due_ms=1_000, exhausted=True)
    assert scene.schedule.hurry(waiting.id)
    assert not waiting.exhausted
    assert scene.schedule.take(0) is waiting
    scene.schedule.again(waiting, 1_000)
    assert scene.schedule.take(999) is None
    assert scene.offsets(1_000) == [5]
    assert scene.schedule.take(2_000) is None


def test_the_old_time_of_a_hurried_event_hides_nobody():
    """It failed again and waits longer; what is due before it is taken before it."""
    scene = Scene()
    hurried = scene.add(1, None, due_ms=10)
    scene.schedule.hurry(hurried.id)
    scene.schedule.again(scene.schedule.take(0), 30)
    scene.add(2, None, due_ms=20)
    assert scene.schedule.next_due_ms() == 20
    assert scene.offsets(20) == [2]


def test_does_not_hurry_what_runs_or_is_not_there():
    """An attempt that runs is let be."""
    scene = Scene()
    waiting = scene.add(5)
    scene.schedule.take(0)
    assert not scene.schedule.hurry(waiting.id)
    assert not scene.schedule.hurry(waiting.id._replace(offset=6))


def test_a_hurried_follower_still_waits_for_its_turn():
    """Nothing gets past the head of its lane."""
    scene = Scene()
    scene.add(5, due_ms=50)
    follower = scene.add(6)
    assert scene.schedule.hurry(follower.id)
    assert scene.schedule.take(49) is None


def test_discards_the_head_at_once():
    """The next of its key is the head then."""
    scene = Scene()
    head = scene.add(5, due_ms=1_000)
    scene.add(6)
    assert scene.schedule.discard(head.id) == [head]
    assert scene.schedule.discard(head.id) is None
    assert scene.offsets() == [6]


def test_a_discarded_follower_goes_when_its_turn_comes():
    """Its offset may be the last one that the lane is to release."""
    scene = Scene()
    head, *followers = scene.add(5), scene.add(6), scene.add(7)
    for follower in followers:
        assert scene.schedule.discard(follower.id) == []
    assert (len(scene.schedule), scene.released) == (3, [])
    assert scene.schedule.take(0) is head
    assert scene.schedule.finish(head) == [head, *followers]
    assert (len(scene.schedule), scene.released) == (0, [(LANE, 7)])


def test_discards_a_running_event_when_its_attempt_ends():
    """Until then it waits, and says that it is to go."""
    scene = Scene()
    waiting = scene.add(5, None)
    scene.schedule.take(0)
    assert scene.schedule.discard(waiting.id) == []
    assert waiting.discarded
    assert len(scene.schedule) == 1


def test_lanes_of_one_key_on_two_topics_are_two():
    """A key waits only for its own topic's events."""
    scene = Scene()
    scene.add(5, due_ms=1_000)
    scene.add(6, ("u", 0, b"k"))
    scene.add(7, ("t", 1, b"k"))
    assert scene.schedule.lanes == 3
    assert scene.offsets() == [6, 7]
