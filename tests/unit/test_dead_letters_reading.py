"""Dead letters are read whoever wrote them, and whatever they contain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.failures import EventId
from tests.support.dead_letters import (
    CONNECT,
    SHARE_GROUP,
    SPRING,
    STREAMS,
    TRACEBACK,
    Record,
    dead_letter,
    int32,
    int64,
    trunkline_headers,
)
from trunkline.dead_letters.reading import parse_id, read_dead_letter

NAMES = [name for name, _ in (*SPRING, *CONNECT, *SHARE_GROUP, *STREAMS, *trunkline_headers())]


def test_reads_what_trunkline_writes():
    """Every field, and the event's own headers without ours."""
    own = [("tenant", b"a"), ("tenant", b"b"), ("flag", None)]

    letter = dead_letter([*own, *trunkline_headers(redrives=2)])

    assert letter.id == "dlq.order.created[1]@17"
    assert letter.source == "trunkline"
    assert letter.origin == EventId("order.created", 1, 42, 1_700_000_000_000)
    assert (letter.group, letter.kind, letter.attempts) == ("engine-group", "transient", 4)
    assert (letter.exception, letter.message) == ("builtins.ValueError", "o-1")
    assert letter.stacktrace == TRACEBACK
    assert (letter.first_failed_at_ms, letter.redrives, letter.left_out_bytes) == (
        1_700_000_001_000,
        2,
        0,
    )
    assert letter.headers == tuple(own)


def test_knows_a_payload_that_was_left_out():
    """Its size is told."""
    letter = dead_letter([*trunkline_headers(), ("trunkline.left-out-bytes", b"2500000")])

    assert letter.left_out_bytes == 2_500_000


def test_reads_kafka_streams():
    """KIP-1034; the class is taken out of Java's ``toString``, the timestamp is the event's."""
    letter = dead_letter([("tenant", b"a"), *STREAMS])

    assert letter.source == "streams"
    assert letter.origin == EventId("order.created", 1, 77, 1_700_000_000_000)
    assert letter.exception == "org.apache.kafka.common.errors.SerializationException"
    assert (letter.group, letter.attempts, letter.message) == (None, None, "Size is not 4")
    assert letter.headers == (("tenant", b"a"),)


def test_reads_spring_with_its_binary_numbers():
    """The class is the cause's: the outer one is Spring's own for every listener."""
    letter = dead_letter(SPRING)

    assert letter.source == "spring"
    assert letter.origin == EventId("order.created", 3, 2**40 + 7, 1_700_000_000_123)
    assert letter.group == "billing"
    assert letter.exception == "java.lang.IllegalStateException"
    assert letter.message == "Listener failed; no stock"
    assert dict(letter.details)["exception-fqcn"].endswith("ListenerExecutionFailedException")
    assert letter.headers == ()


def test_reads_spring_s_key_errors():
    """A key that could not be deserialized has headers of its own."""
    letter = dead_letter(
        [
            ("kafka_dlt-key-exception-fqcn", b"a.KeyException"),
            ("kafka_dlt-key-exception-message", b"bad key"),
            ("kafka_dlt-key-exception-stacktrace", b"\tat a.B.c(B.java:1)"),
        ]
    )

    assert (letter.exception, letter.message) == ("a.KeyException", "bad key")
    assert "a.B.c" in letter.stacktrace


def test_of_spring_s_repeated_origins_the_first_counts_and_of_the_errors_the_last():
    """The second hop's origin is a retry topic, where the event was never published."""
    again = [
        ("kafka_dlt-original-topic", b"order.created-retry-0"),
        ("kafka_dlt-original-partition", int32(0)),
        ("kafka_dlt-original-offset", int64(1)),
        ("kafka_dlt-exception-cause-fqcn", b"java.io.IOException"),
    ]

    letter = dead_letter([*SPRING, *again])

    assert letter.origin == EventId("order.created", 3, 2**40 + 7, 1_700_000_000_123)
    assert letter.exception == "java.io.IOException"


def test_reads_kafka_connect():
    """A sink connector's group follows from its name; stage and task are kept."""
    letter = dead_letter(CONNECT)

    assert letter.source == "connect"
    assert letter.origin == EventId("order.created", 2, 200, 1_700_000_000_000)
    assert letter.group == "connect-jdbc-sink"
    assert letter.exception == "org.apache.kafka.connect.errors.DataException"
    assert dict(letter.details)["stage"] == "VALUE_CONVERTER"


def test_reads_share_groups():
    """KIP-1191 tells group, place and deliveries, but no exception and no timestamp."""
    letter = dead_letter(SHARE_GROUP)

    assert letter.source == "share-group"
    assert letter.origin == EventId("order.created", 0, 9, -1)
    assert (letter.group, letter.attempts) == ("picking", 5)
    assert (letter.exception, letter.message) == ("", "Offset rejected by client.")


def test_a_record_without_such_headers_is_of_unknown_source():
    """It is shown, and everything else about it is open."""
    letter = dead_letter([("tenant", b"a")])

    assert (letter.source, letter.origin, letter.group) == ("unknown", None, None)
    assert letter.headers == (("tenant", b"a"),)


def test_who_failed_it_last_counts():
    """A Spring dead letter that Connect failed once more is Connect's; Spring's headers stay."""
    letter = dead_letter([*SPRING, *CONNECT])

    assert letter.source == "connect"
    assert ("kafka_dlt-original-topic", b"order.created") in letter.headers


def test_ours_is_ours_wherever_its_headers_stand():
    """Events lose such headers before they fail here, so nobody else's are taken for ours."""
    letter = dead_letter([*trunkline_headers(), *SPRING])

    assert (letter.source, letter.group) == ("trunkline", "engine-group")


@pytest.mark.parametrize("value", [b"", b"\x00", b"1234567", b"\xff\xff\xff\xff", None])
def test_a_spring_partition_of_the_wrong_length_leaves_the_origin_open(value):
    """Nothing is guessed: four bytes, not negative, or nothing."""
    headers = [h for h in SPRING if h[0] != "kafka_dlt-original-partition"]

    letter = dead_letter([*headers, ("kafka_dlt-original-partition", value)])

    assert (letter.source, letter.origin) == ("spring", None)


@pytest.mark.parametrize("value", [b"", b"-1", b"1e3", b" 1", b"9" * 20, "²".encode(), None])
def test_a_number_that_is_none_leaves_the_origin_open(value):
    """Digits only, at most as many as a 64-bit number has."""
    headers = [h for h in trunkline_headers() if h[0] != "__streams.errors.offset"]

    assert dead_letter([*headers, ("__streams.errors.offset", value)]).origin is None


def test_finds_the_trace():
    """The last valid one counts, as Java's ``lastHeader`` has it."""
    trace = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"

    letter = dead_letter([("traceparent", trace), ("traceparent", b"\xff"), *trunkline_headers()])

    assert letter.trace_id == "ab" * 16


@given(
    st.lists(st.tuples(st.sampled_from(NAMES) | st.text(), st.none() | st.binary()), max_size=12)
)
def test_never_raises(headers):
    """Wrong lengths, bytes that are no text, repeated and missing headers."""
    letter = read_dead_letter(Record(headers=headers))

    letter.message.encode()
    assert letter.value == Record().value


@given(st.text(max_size=40))
def test_an_id_is_read_back(text):
    """What is shown as an id can be typed as one; anything else is none."""
    assert parse_id("dlq.order.created[1]@17") == ("dlq.order.created", 1, 17)
    assert parse_id(text) is None or "@" in text
