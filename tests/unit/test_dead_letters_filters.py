"""A user's words become a filter, and the filter means what they say."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dead_letters import Record, dead_letter, trunkline_headers
from trunkline.dead_letters.filters import LetterFilter, parse_filter, parse_time
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.reading import read_dead_letter
from trunkline.errors import ConfigurationError
from trunkline.topology import Topology

NOW = 1_800_000_000_000
TOPOLOGY = Topology()


def means(wanted: LetterFilter, letter, topology: Topology = TOPOLOGY) -> bool:
    return wanted.matches(letter, fingerprint_of(letter, topology), topology)


def parse(topology: Topology = TOPOLOGY, **words) -> LetterFilter:
    return parse_filter(topology, NOW, **words)


LETTER = dead_letter([("tenant", b"acme"), *trunkline_headers()])
DIGEST = fingerprint_of(LETTER, TOPOLOGY).digest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, True),
        ({"topics": ["order.created"]}, True),
        ({"topics": ["dlq.order.created"]}, True),
        ({"topics": ["auth.registered"]}, False),
        ({"topics": ["auth.registered", "order.created"]}, True),
        ({"groups": ["engine-group"]}, True),
        ({"groups": ["db-server-group"]}, False),
        ({"exceptions": ["ValueError"]}, True),
        ({"exceptions": ["builtins.ValueError"]}, True),
        ({"exceptions": ["Value*"]}, True),
        ({"exceptions": ["builtins.*"]}, True),
        ({"exceptions": ["valueerror"]}, False),
        ({"exceptions": ["Error"]}, False),
        ({"keys": ["12345"]}, True),
        ({"keys": ["1234"]}, False),
        ({"headers": ["tenant"]}, True),
        ({"headers": ["tenant=acme"]}, True),
        ({"headers": ["tenant="]}, False),
        ({"headers": ["tenant=acm"]}, False),
        ({"headers": ["trunkline.group"]}, False),
        ({"fingerprints": [DIGEST]}, True),
        ({"fingerprints": [DIGEST[:4].upper()]}, True),
        ({"fingerprints": ["0000"]}, False),
        ({"ids": ["dlq.order.created[1]@17"]}, True),
        ({"ids": ["dlq.order.created[1]@18"]}, False),
        ({"since": "2023-11-14T22:13:21Z"}, True),
        ({"since": "2023-11-14T22:13:22Z"}, False),
        ({"until": "2023-11-14T22:13:22Z"}, True),
        ({"until": "2023-11-14T22:13:21Z"}, False),
        ({"topics": ["order.created"], "groups": ["other"]}, False),
    ],
)
def test_means_what_it_says(words, expected):
    """Any of one option's values, and all of the options."""
    assert means(parse(**words), LETTER) is expected


def test_time_is_that_of_the_failure_and_not_of_the_event():
    """A dead letter keeps its event's timestamp; only without a failure's time does that count."""
    old_event = dead_letter(timestamp=1)
    foreign = dead_letter([], timestamp=1)

    assert means(parse(since="2023-11-14T00:00Z"), old_event)
    assert not means(parse(since="2023-11-14T00:00Z"), foreign)


def test_names_may_carry_the_namespace():
    """Topics, groups and ids, with it or without."""
    topology = Topology("blue")
    letter = read_dead_letter(
        Record(
            topic="blue.dlq.order.created",
            headers=trunkline_headers(group="blue.engine-group", topic="blue.order.created"),
        )
    )

    for prefix in ("", "blue."):
        wanted = parse(
            topology,
            topics=[f"{prefix}order.created", f"{prefix}dlq.order.created"],
            groups=[f"{prefix}engine-group"],
            ids=[f"{prefix}dlq.order.created[1]@17"],
        )
        assert means(wanted, letter, topology)
        assert wanted.topics_to_read(topology) == ["blue.dlq.order.created"]


def test_reads_only_the_topics_that_can_hold_what_is_meant():
    """All of them when neither topics nor ids are named."""
    every = [topic.name for topic in TOPOLOGY.dead_letters_topics()]

    assert parse().topics_to_read(TOPOLOGY) == every
    assert parse(topics=["order.created"]).topics_to_read(TOPOLOGY) == ["dlq.order.created"]
    assert parse(ids=["dlq.order.created[0]@1"]).topics_to_read(TOPOLOGY) == ["dlq.order.created"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"topics": ["order.createt"]}, "Did you mean 'order.created'?"),
        ({"topics": ["notification.fanout"]}, "has no dead letters"),
        ({"ids": ["order.created@1"]}, "dlq.order.created[1]@17"),
        ({"ids": ["order.created[1]@1"]}, "no dead letter's id"),
        ({"fingerprints": ["xyz"]}, "no fingerprint"),
        ({"fingerprints": ["abc"]}, "four or more"),
        ({"headers": ["=x"]}, "names no header"),
        ({"since": "yesterday"}, "no time"),
        ({"since": "9999-99-99"}, "no time"),
    ],
)
def test_says_what_is_wrong(words, message):
    """Exit code 2, and what would do."""
    with pytest.raises(ConfigurationError) as raised:
        parse(**words)

    assert message in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - 90_000),
        ("2h", NOW - 7_200_000),
        ("1.5h ago", NOW - 5_400_000),
        ("3d", NOW - 3 * 86_400_000),
        ("2026-03-01T14:30:00Z", 1_772_375_400_000),
        ("2026-03-01T15:30+01:00", 1_772_375_400_000),
    ],
)
def test_reads_times(text, expected):
    """ISO 8601, or how long ago."""
    assert parse_time(text, NOW) == expected


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001  # hypothesis wants them naive
def test_reads_every_iso_time(moment):
    """To the millisecond."""
    aware = moment.replace(tzinfo=UTC)

    assert parse_time(aware.isoformat(), NOW) == round(aware.timestamp() * 1000)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_clear_error(text):
    """Nothing else is raised."""
    with contextlib.suppress(ConfigurationError):
        assert isinstance(parse_time(text, NOW), int)


_WORDS = {
    "topics": st.lists(st.sampled_from(["order.created", "auth.registered"]), max_size=2),
    "groups": st.lists(st.sampled_from(["engine-group", "x"]), max_size=2),
    "exceptions": st.lists(st.sampled_from(["Value*", "KeyError"]), max_size=2),
    "keys": st.lists(st.sampled_from(["12345", "1"]), max_size=2),
    "headers": st.lists(st.sampled_from(["tenant", "tenant=acme", "x=1"]), max_size=2),
    "fingerprints": st.lists(st.sampled_from([DIGEST, "0000"]), max_size=2),
}


@given(st.fixed_dictionaries({}, optional=_WORDS))
def test_options_narrow_and_their_values_widen(words):
    """A filter means what all of its options mean alone; an option, what any value does."""
    alone = [
        any(means(parse(**{option: [value]}), LETTER) for value in values)
        for option, values in words.items()
        if values
    ]

    assert means(parse(**words), LETTER) is all(alone)
