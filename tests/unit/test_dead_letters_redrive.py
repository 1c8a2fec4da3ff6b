"""What is redriven, what is refused, and what exactly goes to the group."""

from __future__ import annotations

import pytest

from tests.support.dead_letters import CONNECT, SHARE_GROUP, SPRING, dead_letter, trunkline_headers
from trunkline.dead_letters.actions import Action, Actions, action_record, read_action
from trunkline.dead_letters.redrive import Guard, redrive_record
from trunkline.topology import Topology

GUARD = Guard(Topology())
TRACE = [("traceparent", b"00-" + c * 32 + b"-" + c * 16 + b"-01") for c in (b"a", b"b")]


def test_goes_to_the_failures_topic_of_the_group_that_failed_it():
    """With the namespace, and to no other."""
    topology = Topology("blue")
    letter = dead_letter(trunkline_headers(group="blue.engine-group", topic="blue.order.created"))

    assert Guard(topology).judge(letter, None).to == "blue.engine-group.failures"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "it names no group"),
        (trunkline_headers(group="billing"), "group billing is none of ours"),
        (
            trunkline_headers(topic="user.activity"),
            "group engine-group does not read user.activity",
        ),
        (trunkline_headers(redrives=3), "redriven 3 times already (--max-redrives, --force)"),
        (
            [*trunkline_headers(), ("trunkline.left-out-bytes", b"9")],
            "its payload was too large to be carried here: publish it again from its origin",
        ),
        (
            [*trunkline_headers(), ("__streams.errors.offset", b"?")],
            "it does not tell which event it was",
        ),
        (SPRING, "group billing is none of ours"),
        (CONNECT, "group connect-jdbc-sink is none of ours"),
        (SHARE_GROUP, "it does not tell which event it was"),
    ],
)
def test_refuses_with_a_reason(headers, reason):
    """No group, a foreign one, too often, no payload, no identity."""
    verdict = GUARD.judge(dead_letter(headers), None)

    assert (verdict.to, verdict.refused) == ("", reason)


def test_refuses_what_was_acted_on():
    """Whatever is forced."""
    action = Action("redriven", 1, 1_700_000_000_000)

    assert Guard(Topology(), force=True).judge(dead_letter(), action).refused == "already redriven"


def test_the_limit_of_redrives_can_be_moved_and_forced():
    """The loop guard counts the redrives in the headers."""
    letter = dead_letter(trunkline_headers(redrives=3))

    assert Guard(Topology(), max_redrives=4).judge(letter, None).to
    assert Guard(Topology(), force=True).judge(letter, None).to


def test_carries_the_event_as_it_was_and_its_identity():
    """Key, value, own headers; the error headers are gone, the redrive is counted."""
    own = [("tenant", b"a"), ("tenant", None), ("bin", b"\xff")]
    letter = dead_letter([*own, *trunkline_headers(redrives=1)], value=b"\x00\xff")

    record = redrive_record(letter, "engine-group.failures")

    assert (record.topic, record.key, record.value) == (
        "engine-group.failures",
        b"12345",
        b"\x00\xff",
    )
    assert (record.partition, record.timestamp_ms) == (None, None)
    assert list(record.headers) == [
        *own,
        ("trunkline.record", b"redriven"),
        ("__streams.errors.topic", b"order.created"),
        ("__streams.errors.partition", b"1"),
        ("__streams.errors.offset", b"42"),
        ("trunkline.timestamp-ms", b"1700000000000"),
        ("trunkline.group", b"engine-group"),
        ("trunkline.redrives", b"2"),
        ("trunkline.first-failed-at-ms", b"1700000001000"),
    ]


def test_keeps_a_trace_once():
    """The last one goes on."""
    letter = dead_letter([TRACE[0], ("x", b"1"), TRACE[1], *trunkline_headers()])

    headers = redrive_record(letter, "t").headers

    assert [h for h in headers if h[0] == "traceparent"] == [TRACE[1]]


def test_keeps_null_keys_and_values():
    """A tombstone without a key stays one."""
    record = redrive_record(dead_letter(key=None, value=None), "t")

    assert (record.key, record.value) == (None, None)


def test_an_action_is_read_back():
    """From the record that notes it; garbage says nothing, a tombstone opens again."""
    action = Action("discarded", 5, 7, by="ada@host", run="r1")

    record = action_record("actions", "dlq.order.created[1]@17", action)

    assert read_action(record.key, record.value) == ("dlq.order.created[1]@17", action)
    assert read_action(record.key, b"{}") is None
    assert read_action(None, record.value) is None
    assert read_action(record.key, None) == ("dlq.order.created[1]@17", None)


def test_an_action_on_an_earlier_topic_of_the_name_is_none():
    """A topic that was made anew counts from 0 again: the timestamp tells them apart."""
    actions = Actions()
    actions.note("dlq.order.created[1]@17", Action("redriven", 5, 7))

    assert actions.on("dlq.order.created[1]@17", 7)
    assert actions.on("dlq.order.created[1]@17", 8) is None

    actions.note("dlq.order.created[1]@17", None)

    assert actions.on("dlq.order.created[1]@17", 7) is None
