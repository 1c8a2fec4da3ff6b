"""The window of failures: counts what is told, derives the rest, and forgets with time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline.delivery.failure_window import FailureWindow


class World:
    """A clock and a counter of successes, and the window under test."""

    def __init__(self, window_s=10.0):
        self.now_s = 0.0
        self.handled = 0
        self.window = FailureWindow(window_s, lambda: self.handled, lambda: self.now_s)

    def fail(self, n=1):
        self.window.add(n)

    def counts(self):
        return self.window.counts()


def test_counts_nothing_at_first():
    """Without a failure there is nothing to count, whatever succeeded."""
    world = World()
    world.handled = 50
    assert world.counts() == (0, 0)


def test_begins_with_the_first_failure():
    """What succeeded before it does not hide a sudden end of all successes."""
    world = World()
    world.handled = 1_000_000
    world.fail(3)
    world.handled += 1
    world.fail(2)
    assert world.counts() == (5, 6)


def test_slides():
    """Failures older than the window are forgotten, and the successes before its new beginning."""
    world = World()
    world.fail(7)
    world.handled += 100
    world.now_s = 6
    world.fail(2)
    world.handled += 10
    assert world.counts() == (9, 119)
    world.now_s = 10.5
    assert world.counts() == (2, 12)
    world.now_s = 30
    assert world.counts() == (0, 0)


def test_can_begin_without_a_failure():
    """Zero failures mark where the window begins: what succeeds from here on counts."""
    world = World()
    world.fail(0)
    world.handled += 4
    assert world.counts() == (0, 4)


def test_clear_forgets():
    """After it the next failure is the first."""
    world = World()
    world.fail(5)
    world.window.clear()
    world.fail()
    assert world.counts() == (1, 1)


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=60
    )
)
def test_never_counts_more_than_happened_nor_forgets_what_is_fresh(steps):
    """All failures younger than 0.9 windows are in, none older than the whole window is."""
    world, failed = World(), []
    for pause_s, failures, handled in steps:
        world.now_s += pause_s
        world.handled += handled
        world.fail(failures)
        failed.append((world.now_s, failures))
        found, total = world.counts()
        newest = sum(n for at, n in failed if at > world.now_s - 9)
        all_in = sum(n for at, n in failed if at >= world.now_s - 10)
        assert newest <= found <= all_in
        assert found <= total <= found + world.handled
    assert len(world.window._parts) <= 21
