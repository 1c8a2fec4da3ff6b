"""What waits in a retries table: merged from its changelog, chosen by filters."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest

from models.failures import (
    APPLIED_KEY,
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    RetryEntry,
    RetryState,
    encode,
    entry_key,
    state_key,
)
from trunkline.errors import ConfigurationError
from trunkline.retries.commands import command_record
from trunkline.retries.inspection import Tables, WaitingEvent
from trunkline.retries.records import read_failure
from trunkline.retries.selection import Selection, groups_named, parse_selection
from trunkline.topology import Topology

CHANGELOG = "engine-group-retries-changelog"
NOW_MS = 1_000_000


class Record(NamedTuple):
    """As a consumer gives it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None = None


def failed(exception="app.errors.CardRefused"):
    return ErrorInfo("transient", exception, "no", "", NOW_MS - 5000)


def waiting(attempts=1, due_at_ms=NOW_MS + 1000, exception="app.errors.CardRefused", **more):
    return RetryState(attempts, due_at_ms, failed(exception), failed(exception), **more)


def an_entry(offset, key=b"7", state=None, *, held=True, topic="order.created", **more):
    return RetryEntry(
        version=more.pop("version", WIRE_VERSION),
        id=EventId(topic, 0, offset, 12),
        key=key,
        value=b"{}",
        headers=(),
        held=held,
        order=more.pop("order", offset),
        redrives=0,
        left_out_bytes=0,
        state=state or RetryState(0, 0),
    )


def put(entry, partition=0, topic=CHANGELOG):
    return Record(topic, partition, entry_key(entry.id), encode(entry))


def merged(*records, details=True):
    groups = {CHANGELOG: "engine-group", "db-server-group-retries-changelog": "db"}
    tables = Tables(groups, details=details)
    for record in records:
        tables.apply(record)
    return tables


def offsets(tables):
    return [event.id.offset for event in tables.events()]


# -- the changelog


def test_the_newest_state_replaces_the_entry_s():
    """As long as there is one."""
    entry, state = an_entry(1, state=waiting(1)), waiting(2, NOW_MS + 9000)
    (event,) = merged(put(entry), Record(CHANGELOG, 0, state_key(entry.id), encode(state))).events()
    assert event.entry == msgspec.structs.replace(entry, state=state)
    assert (event.group, event.partition) == ("engine-group", 0)


def test_a_deleted_state_gives_way_to_the_entry_s():
    """What the table does when it writes an entry anew."""
    entry = an_entry(1, state=waiting(3))
    key = state_key(entry.id)
    records = [
        put(entry),
        Record(CHANGELOG, 0, key, encode(waiting(2))),
        Record(CHANGELOG, 0, key),
    ]
    assert merged(*records).events()[0].entry == entry


def test_a_tombstone_ends_an_event_with_its_state():
    """Also when only the entry's tombstone is left after compaction; a redriven one is new."""
    entry = an_entry(1)
    records = [put(entry), Record(CHANGELOG, 0, state_key(entry.id), encode(waiting(4)))]
    gone = [*records, Record(CHANGELOG, 0, entry_key(entry.id))]
    assert merged(*gone).events() == []
    assert merged(*gone, put(entry)).events()[0].entry == entry


def test_a_state_without_an_entry_is_nothing():
    """Its entry's records were compacted away, its own tombstone is still to come."""
    state = Record(CHANGELOG, 0, state_key(an_entry(1).id), encode(waiting()))
    assert merged(state).events() == []


def test_the_same_event_waits_in_two_groups():
    """Two tables, two entries."""
    other = "db-server-group-retries-changelog"
    events = merged(put(an_entry(1)), put(an_entry(1), topic=other)).events()
    assert {event.group for event in events} == {"engine-group", "db"}


def test_strange_records_are_counted_and_passed_over():
    """A key or a value that is none of the table's, and a later release's format."""
    later = an_entry(3, version=WIRE_VERSION + 1)
    tables = merged(
        Record(CHANGELOG, 0, APPLIED_KEY, encode(5)),
        Record(CHANGELOG, 0, b"nonsense", b""),
        Record(CHANGELOG, 0, None, b""),
        Record(CHANGELOG, 0, entry_key(an_entry(2).id), b"\xc1"),
        put(later),
        put(an_entry(1)),
    )
    assert offsets(tables) == [1]
    assert tables.unreadable == 4


def test_a_readable_value_makes_up_for_an_unreadable_one():
    """Only what a table holds at its end is counted."""
    entry = an_entry(1)
    broken = Record(CHANGELOG, 0, entry_key(entry.id), b"\xc1")
    tables = merged(broken, put(entry))
    assert (offsets(tables), tables.unreadable) == ([1], 0)


def test_what_is_not_asked_for_is_not_kept():
    """100,000 payloads and stack traces would fill the memory of whoever wants a list."""
    error = msgspec.structs.replace(failed(), stacktrace="x" * 1000)
    state = RetryState(2, 5, error, error)
    entry = an_entry(1, state=state)
    records = [put(entry), Record(CHANGELOG, 0, state_key(entry.id), encode(state))]
    (event,) = merged(*records, details=False).events()
    short = msgspec.structs.replace(state, first_error=failed(), last_error=failed())
    assert event.entry == msgspec.structs.replace(entry, value=None, state=short)
    assert merged(*records).events()[0].entry == entry


# -- lanes and statuses


def test_later_events_of_a_key_are_parked_behind_the_first():
    """By the order of handing over, not by offset or arrival."""
    head, second = an_entry(5, state=waiting(), order=1), an_entry(4, order=2)
    parked = {e.id.offset: e.parked for e in merged(put(second), put(head)).events()}
    assert parked == {5: False, 4: True}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"key": None}, {"key": None}),
        ({"key": b"1"}, {"key": b"2"}),
        ({"topic": "auth.registered"}, {}),
        # An unordered topic: tried already, and nobody is held back.
        ({"held": False, "state": waiting()}, {"held": False, "state": waiting()}),
        # Dead at once: it waits for nobody, and nobody for it.
        ({"held": False, "state": waiting(exhausted=True)}, {}),
    ],
    ids=["no key", "other key", "other topic", "unordered", "invalid"],
)
def test_nobody_else_is_parked(first, second):
    """Only an ordered lane of one key of one source partition parks events."""
    events = merged(put(an_entry(1, **first)), put(an_entry(2, **second))).events()
    assert [event.parked for event in events] == [False, False]


@pytest.mark.parametrize(
    ("state", "parked", "status"),
    [
        (waiting(due_at_ms=NOW_MS + 1), False, "later"),
        (waiting(due_at_ms=NOW_MS), False, "due"),
        (RetryState(0, 0), False, "due"),
        (RetryState(0, 0), True, "parked"),
        (waiting(exhausted=True, due_at_ms=0), False, "exhausted"),
        (waiting(exhausted=True), True, "parked"),
        (waiting(discarded=True), True, "discarded"),
    ],
)
def test_an_event_s_status_says_what_it_waits_for(state, parked, status):
    """Of a head and of a parked event."""
    event = WaitingEvent("engine-group", 0, an_entry(1, state=state), parked)
    assert event.status(NOW_MS) == status


def test_what_is_due_first_comes_first():
    """Parked events come last, in the order in which they were handed over."""
    tables = merged(
        put(an_entry(1, b"1", waiting(due_at_ms=NOW_MS + 9))),
        put(an_entry(3, b"1")),
        put(an_entry(2, b"1")),
        put(an_entry(4, b"2", waiting(due_at_ms=NOW_MS + 3)), partition=1),
    )
    assert offsets(tables) == [4, 1, 2, 3]


# -- selection


EVENTS = [
    WaitingEvent("engine-group", 0, an_entry(1, b"7", waiting())),
    WaitingEvent("engine-group", 0, an_entry(2, b"7"), parked=True),
    WaitingEvent("engine-group", 1, an_entry(3, b"\xff\x00", waiting(exception="os.TimeoutError"))),
    WaitingEvent("db-server-group", 2, an_entry(4, None, waiting(), topic="auth.registered")),
]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"topics": ["auth.registered"]}, [4]),
        ({"topics": ["auth.registered", "order.created"]}, [1, 2, 3, 4]),
        ({"keys": ["7"]}, [1, 2]),
        ({"keys": ["0xff00"]}, [3]),
        ({"keys": ["0xno"]}, []),
        ({"exceptions": ["CardRefused"]}, [1, 4]),
        ({"exceptions": ["os.*", "nothing"]}, [3]),
        ({"exceptions": ["Card"]}, []),
        ({"ids": ["order.created[0]@2", "auth.registered[0]@4"]}, [2, 4]),
        ({"parked": True}, [2]),
        ({"parked": False}, [1, 3, 4]),
        ({"keys": ["7"], "parked": False, "exceptions": ["*"]}, [1]),
    ],
)
def test_filters_choose(words, expected):
    """Any value of one filter, all filters together."""
    selection = parse_selection(Topology(), **words)
    assert [event.id.offset for event in EVENTS if selection.matches(event)] == expected
    assert selection.is_empty == (not words)


def test_a_key_may_look_like_hexadecimal_digits():
    """Then both are meant."""
    assert parse_selection(Topology(), keys=["0xff"]).keys == {b"0xff", b"\xff"}


@pytest.mark.parametrize("text", ["order.created[1]@17", "ns.order.created[1]@17"])
def test_ids_and_topics_are_taken_with_and_without_the_namespace(text):
    """``ls`` shows real names, people write plain ones."""
    topology = Topology("ns")
    assert parse_selection(topology, ids=[text]).ids == (("ns.order.created", 1, 17),)
    topic = text.partition("[")[0]
    assert parse_selection(topology, topics=[topic]).topics == {"ns.order.created"}


def test_says_which_ids_do_not_wait():
    """As they were written, each once."""
    ids = ["order.created[0]@1", "order.created[0]@9", "order.created[0]@9", "order.created[1]@1"]
    not_found = parse_selection(Topology(), ids=ids).not_found(EVENTS)
    assert not_found == ["order.created[0]@9", "order.created[1]@1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"ids": ["order.created"]}, "'order.created' is no event's id: those look like"),
        ({"ids": ["order.created[x]@1"]}, "is no event's id"),
        (
            {"topics": ["order.create"]},
            "Unknown topic 'order.create'. Did you mean 'order.created'",
        ),
    ],
)
def test_a_word_that_means_nothing_is_refused(words, message):
    """With what would do."""
    with pytest.raises(ConfigurationError) as refused:
        parse_selection(Topology(), **words)
    assert message in str(refused.value)


def test_groups_go_by_plain_and_real_names():
    """All of them when none is named; a typo is named."""
    topology = Topology("ns")
    assert groups_named(topology, ["engine-group", "ns.engine-group"]) == ["ns.engine-group"]
    assert "ns.db-server-group" in groups_named(topology, [])
    with pytest.raises(ConfigurationError, match="Did you mean 'engine-group'"):
        groups_named(topology, ["engin-group"])


# -- commands


@pytest.mark.parametrize("command", ["now", "discard"])
def test_a_command_names_its_event(command):
    """As the failures agent reads it, on the partition where the event waits."""
    event = WaitingEvent("ns.engine-group", 2, an_entry(42))
    record = command_record(Topology("ns"), event, command)
    assert (record.topic, record.partition) == ("ns.engine-group.failures", 2)
    assert (record.key, record.value) == (None, None)
    read = read_failure(record)
    assert (read.kind, read.id) == (command, event.id)


def test_an_empty_selection_is_everything():
    """What ``discard`` must not take for granted."""
    assert Selection().is_empty
    assert not Selection(parked=False).is_empty
