"""What waits, kept live: records of changelogs in, waiting events and lanes out."""

from __future__ import annotations

from typing import NamedTuple

from models.failures import (
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    RetryEntry,
    RetryState,
    encode,
    entry_key,
    state_key,
)
from trunkline.retries.live import LiveTables, lanes_of

CHANGELOG, OTHER = "g-retries-changelog", "h-retries-changelog"
ERROR = ErrorInfo("transient", "a.B", "no", "", 5)


class Record(NamedTuple):
    """What aiokafka's records are to us."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None = None


def an_id(number):
    return EventId("t", 0, number, 12)


def put(number, offset, key=b"k", topic=CHANGELOG, *, attempts=1):
    """Return the record by which an event begins to wait."""
    state = RetryState(attempts, 100, ERROR if attempts else None, ERROR if attempts else None)
    entry = RetryEntry(
        WIRE_VERSION, an_id(number), key, b"value", (), attempts >= 0, number, 0, 0, state
    )
    return Record(topic, 2, offset, entry_key(entry.id), encode(entry))


def gone(number, offset, topic=CHANGELOG):
    return Record(topic, 2, offset, entry_key(an_id(number)))


def tables(*records, limit=100):
    made = LiveTables({CHANGELOG: "g", OTHER: "h"}, limit)
    for record in records:
        made.apply(record)
    return made


def numbers(made):
    return sorted(event.id.offset for event in made.events())


def test_knows_where_an_event_stands():
    """So that its payload is fetched without reading the whole changelog."""
    made = tables(
        put(1, 10), Record(CHANGELOG, 2, 11, state_key(an_id(1)), encode(RetryState(2, 9)))
    )
    assert made.stands(CHANGELOG, an_id(1)) == (2, 10, 11)
    assert made.events()[0].entry.value is None
    made.apply(put(1, 12))
    assert made.stands(CHANGELOG, an_id(1)) == (2, 12, -1)
    made.apply(gone(1, 13))
    assert made.stands(CHANGELOG, an_id(1)) is None
    assert made.events() == []


def test_events_are_made_anew_only_after_a_change():
    """A page that is looked at by many costs little."""
    made = tables(put(1, 10))
    assert made.events() is made.events()
    before = made.events()
    made.apply(put(2, 11))
    assert made.events() is not before


def test_holds_no_more_than_its_limit_and_counts_the_others():
    """Memory is bounded, whatever waits."""
    made = tables(*(put(n, n) for n in range(5)), limit=3)
    assert (numbers(made), made.left_out) == ([0, 1, 2], 2)
    made.apply(gone(4, 9))
    assert made.left_out == 1
    made.apply(put(0, 10, attempts=2))  # a newer record of one that is held
    assert made.left_out == 1


def test_of_those_beyond_the_limit_nothing_is_held():
    """A million that wait, each with its state, must not end a console."""
    made = tables(*(put(n, n) for n in range(5)), limit=3)
    for number in range(5):
        state = encode(RetryState(2, 9))
        made.apply(Record(CHANGELOG, 2, 10 + number, state_key(an_id(number)), state))

    assert (len(made), len(made._states), len(made._stands)) == (3, 3, 3)
    assert made.stands(CHANGELOG, an_id(2)) == (2, 2, 12)
    assert made.stands(CHANGELOG, an_id(4)) is None


def test_forgets_one_changelog():
    """The others' events stay."""
    made = tables(put(1, 1), put(2, 2, topic=OTHER))
    made.forget(CHANGELOG)
    assert [event.group for event in made.events()] == ["h"]
    assert made.stands(CHANGELOG, an_id(1)) is None
    assert made.stands(OTHER, an_id(2)) == (2, 2, -1)


def test_a_lane_has_its_head_and_how_many_wait_behind_it():
    """Keys of which nothing is parked are no lanes; the longest comes first."""
    made = tables(
        put(1, 1, b"short"),
        put(2, 2, b"short", attempts=0),
        put(3, 3, b"long"),
        put(4, 4, b"long", attempts=0),
        put(5, 5, b"long", attempts=0),
        put(6, 6, b"alone"),
        put(7, 7, None),
    )
    lanes = lanes_of(made.events())
    assert [(lane.head.entry.key, lane.parked, lane.since_ms) for lane in lanes] == [
        (b"long", 2, 5),
        (b"short", 1, 5),
    ]


def test_a_list_that_is_dear_is_made_less_often():
    """A console with very many waiting events stays able to answer."""
    made = tables(put(1, 10))
    before = made.events()
    made._cost_s = 0.7
    made.apply(put(2, 11))
    assert made.events() is before
    made._made_at_s -= 4
    assert numbers(made) == [1, 2]
