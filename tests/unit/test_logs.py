"""A worker's log stays readable while the broker is away."""

from __future__ import annotations

import logging

from trunkline.delivery.logs import RepeatFilter, make_readable


def line(name, message, *args):
    return logging.LogRecord(name, logging.ERROR, "f", 1, message, args, None)


def test_a_library_repeats_itself_only_every_ten_seconds():
    """The first of equal messages passes, the next ones are counted, and told with a later one."""
    now = 0.0
    repeats = RepeatFilter(lambda: now)
    assert repeats.filter(line("aiokafka.conn", "away: %s", 1))
    assert not repeats.filter(line("aiokafka.conn", "away: %s", 2))
    assert not repeats.filter(line("aiokafka.conn", "away: %s", 3))
    assert repeats.filter(line("aiokafka.conn", "something else"))
    now = 11.0
    later = line("aiokafka.conn", "away: %s", 4)
    assert repeats.filter(later)
    assert later.getMessage() == "away: 4 (and 2 more like it)"


def test_our_own_messages_always_pass():
    """Nothing of ours is held back."""
    repeats = RepeatFilter(lambda: 0.0)
    assert all(repeats.filter(line("trunkline.delivery.handover", "same")) for _ in range(3))


def test_debug_shows_everything():
    """With -l debug the libraries keep their own levels, and no filter is put in."""
    root = logging.getLogger("root-of-this-test")
    root.addHandler(logging.NullHandler())
    make_readable(root, logging.DEBUG)
    assert not root.handlers[0].filters
