"""What a question about a topic may hold in memory (no Kafka)."""

from __future__ import annotations

from typing import NamedTuple

from trunkline.console.pages.topics import taking as ours
from trunkline.console.pages.topics.taking import MOST_BYTES, Reading, Taking

_BIG = b"x" * (2 * 1024 * 1024)


class Record(NamedTuple):
    """What is looked at of a record."""

    offset: int
    value: bytes = b""
    key: bytes | None = None
    timestamp: int = 0


def taking(*, stop_after=None, keep_last=None):
    reading = Reading(ends={0: 1_000, 1: 1_000})
    return reading, Taking(reading, lambda _: True, stop_after, keep_last)


def held_bytes(take):
    return sum(len(record.value) for record in take.records)


def test_of_the_newest_only_so_many_are_kept():
    """However many offsets must be read for them."""
    reading, take = taking(keep_last=3)
    take(0, [Record(offset) for offset in range(100)])
    take(1, [Record(0)])

    assert [record.offset for record in take.records] == [97, 98, 99, 0]
    assert (reading.stopped, reading.searched) == ("", 101)


def test_large_records_make_room_for_newer_ones():
    """A page of the largest records there may be must not end the console."""
    reading, take = taking(keep_last=200)
    for offset in range(100):
        take(0, [Record(offset, _BIG)])
        assert held_bytes(take) <= MOST_BYTES

    assert take.records[-1].offset == 99
    assert reading.stopped == "size"


def test_reading_on_stops_at_large_records(monkeypatch):
    """It begins where it was told to, and ends when there is too much."""
    monkeypatch.setattr(ours, "MOST_BYTES", 10)
    reading, take = taking(stop_after=200)
    take(0, [Record(0, b"12345"), Record(1, b"123456")])

    assert [record.offset for record in take.records] == [0, 1]
    assert reading.stopped == "size"
