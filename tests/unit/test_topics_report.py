"""The plan in words."""

from __future__ import annotations

import pytest

from trunkline.topics.difference import Difference, Plan, TopicPlan
from trunkline.topics.report import describe, readable


def topic(action="none", *differences, created=False):
    configs = {"retention.ms": "604800000"}
    return TopicPlan("orders", 4, 1, configs, None, action, differences, created)


def text_of(*topics, applied=False):
    return "\n".join(f"{m} {t}" for m, t in describe(Plan(1, topics), applied=applied))


GROW = Difference("partitions", "3", "6", "grow")
ALTER = Difference("retention.ms", "1000", "-1", "alter")
REFUSE = Difference("partitions", "8", "3", "refuse", "no")
KEEP = Difference("partitions", "8", "3", "keep", "kept")


def test_a_topic_to_create_comes_with_its_properties():
    """Plus, partitions, replication factor and settings."""
    text = text_of(topic("create"))

    assert "+ orders\n+     4 partitions, replication factor 1\n" in text
    assert "+     retention.ms 604800000 (7 days)" in text
    assert text.endswith("Run: trunkline topics apply")


def test_a_change_shows_from_and_to():
    """Tilde, old value, new value, in words where they are durations."""
    text = text_of(topic("alter", ALTER))

    assert "~ orders\n~     retention.ms 1000 (1 second) -> -1 (for ever)" in text


def test_growth_is_announced_with_its_flag():
    """The plan says what it takes."""
    text = text_of(topic("alter", GROW))

    assert "~     partitions 3 -> 6 (only with --grow)" in text
    assert text.endswith("Run: trunkline topics apply --grow")


def test_apply_says_what_it_left_out():
    """Growth that nobody asked for is named, with the command for it."""
    text = text_of(topic("alter", GROW), applied=True)

    assert "left out" in text
    assert "Left out: 1 topic to grow. Run: trunkline topics apply --grow" in text


def test_a_refusal_is_marked():
    """Exclamation mark, and why."""
    text = text_of(topic("alter", REFUSE))

    assert "! orders\n!     partitions 8 -> 3 refused: no" in text


def test_what_is_more_than_declared_is_information():
    """It is shown, and there is nothing to do."""
    text = text_of(topic("alter", KEEP))

    assert "= orders\n=     partitions 8, declared 3: kept" in text
    assert "Nothing to do: 1 topic as declared." in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("-1", "-1 (for ever)"),
        ("86400000", "86400000 (1 day)"),
        ("5400000", "5400000 (1.5 hours)"),
        ("10", "10"),
        ("", "unset"),
    ],
)
def test_durations_are_said_in_words(value, words):
    """Milliseconds alone are hard to read."""
    assert readable("retention.ms", value) == words
