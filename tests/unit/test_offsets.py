"""The tracker never lets an unfinished event be committed."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunkline.delivery.offsets import OffsetTracker


def test_commits_only_the_contiguous_prefix():
    """Completions out of order wait for the oldest unfinished event."""
    tracker = OffsetTracker(10)
    tracker.deliver([10, 11, 12], 13)
    tracker.finish(12)
    tracker.finish(11)
    assert tracker.committable == 10
    tracker.finish(10)
    assert tracker.committable == 13


def test_commits_over_holes_and_markers_behind_the_last_event():
    """Compacted offsets and a transaction marker at the end do not hold the commit back."""
    tracker = OffsetTracker(0)
    tracker.deliver([3, 7], 9)
    tracker.finish_many([3, 7])
    assert tracker.committable == 9


def test_starts_with_offset_zero_unfinished():
    """Offset 0 is an event like any other, not "nothing read yet"."""
    tracker = OffsetTracker(0)
    tracker.deliver([0, 1], 2)
    assert tracker.committable == 0
    assert tracker.oldest_unfinished == 0


def test_a_closed_tracker_accepts_nothing():
    """What ends after the partition was given away is never acknowledged."""
    tracker = OffsetTracker(0)
    tracker.deliver([0, 1], 2)
    tracker.close()
    tracker.finish(0)
    tracker.commit_done(2)
    assert tracker.committed == 0
    assert tracker.unfinished == 0


def test_counts_the_bytes_of_what_is_unfinished():
    """The size that bounds fetching goes up with a delivery and down to nothing at its end."""
    tracker = OffsetTracker(0)
    tracker.deliver([0, 1, 2], 3, size_bytes=300)
    tracker.finish(1)
    assert tracker.unfinished_bytes == 200
    tracker.finish(1)
    tracker.finish_many([0, 2])
    assert tracker.unfinished_bytes == 0


class AckMachine(RuleBasedStateMachine):
    """Deliveries, completions in any order, commits and revocations, against a naive model."""

    def __init__(self):
        super().__init__()
        self.log_end = 0
        self.events = set()  # every event offset that is in the log
        self.finished = set()  # handled or handed over at least once
        self.group_committed = 0
        self.stale = []
        self._assign()

    def _assign(self):
        self.tracker = OffsetTracker(self.group_committed)
        self.next_fetch = self.group_committed
        self.running = []

    @rule(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8))
    def publish(self, sizes):
        """Append events; sizes above 1 leave holes behind them, as compaction and markers do."""
        for size in sizes:
            self.events.add(self.log_end)
            self.log_end += size

    @precondition(lambda self: self.next_fetch < self.log_end)
    @rule(data=st.data())
    def fetch(self, data):
        """Deliver the next records, up to any point of the log."""
        position = data.draw(st.integers(self.next_fetch + 1, self.log_end))
        offsets = sorted(o for o in self.events if self.next_fetch <= o < position)
        self.tracker.deliver(offsets, position)
        self.running += [(self.tracker, offset) for offset in offsets]
        self.next_fetch = position

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data):
        """Finish any running event."""
        index = data.draw(st.integers(0, len(self.running) - 1))
        tracker, offset = self.running.pop(index)
        self.finished.add(offset)
        tracker.finish(offset)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def finish_of_an_old_assignment(self, data):
        """A handler of an earlier assignment ends late; its event is handled, but not acked."""
        index = data.draw(st.integers(0, len(self.stale) - 1))
        tracker, offset = self.stale.pop(index)
        tracker.finish(offset)

    @rule()
    def commit(self):
        """Commit what may be committed, as the commit loop does."""
        if self.tracker.committable > self.tracker.committed:
            self.group_committed = self.tracker.committable
            self.tracker.commit_done(self.group_committed)

    @rule()
    def rebalance(self):
        """Lose the partition and get it back; fetching starts at the committed offset."""
        self.tracker.close()
        self.stale += self.running
        self._assign()

    @invariant()
    def never_commits_past_an_unfinished_event(self):
        """Everything below the group's committed offset has been finished."""
        assert {o for o in self.events if o < self.group_committed} <= self.finished

    @invariant()
    def never_moves_backwards(self):
        """What may be committed is never behind what is."""
        assert self.tracker.committable >= self.group_committed


TestAckMachine = AckMachine.TestCase
