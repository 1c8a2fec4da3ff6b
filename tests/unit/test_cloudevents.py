"""CloudEvents on records: both modes, what handlers get of them, and what is refused."""

from __future__ import annotations

import json

import pytest

from models.failures import EventId, RetryEntry, RetryState
from tests.unit.test_runner import Bench, Record
from trunkline.cloudevents import kafka
from trunkline.cloudevents.event import CloudEvent
from trunkline.cloudevents.making import describe
from trunkline.errors import InvalidEventError
from trunkline.retries.attempt import Attempts

DATA = b'{"userId":"u","email":"a@b"}'
EVENT = CloudEvent(
    "e-1",
    "/shop/ü",
    "auth.registered",
    time="2026-03-01T14:30:00.123456789Z",
    subject="u",
    datacontenttype="application/json",
    extensions={"partitionkey": "u", "sequence": "7"},
)
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
BINARY = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"auth.registered"),
)


def envelope(**changes):
    known = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "t"}
    body = known | {"data": {"userId": "u", "email": "a@b"}} | changes
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def record(offset, headers, value=DATA):
    return Record("t", 0, offset, 1, b"k", value, headers)


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_reads_back_what_it_writes(mode):
    """Attributes, extensions and the data, byte for byte."""
    value, headers = kafka.write(EVENT, DATA, mode)
    assert kafka.mode_of(headers) == mode
    assert kafka.read(headers, value) == (EVENT, DATA)
    assert kafka.data_of(headers, value) == DATA


def test_binary_mode_leaves_the_value_plain():
    """So that whoever knows no CloudEvents reads the same JSON as ever."""
    value, headers = kafka.write(EVENT, DATA, "binary")
    assert value == DATA
    assert dict(headers)["ce_source"] == "/shop/ü".encode()
    assert dict(headers)["content-type"] == b"application/json"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("traceparent", b"00-1"),),
        (("content-type", b"application/json"), ("ce_custom", b"x")),
        (("content-type", None),),
    ],
)
def test_a_plain_event_is_none(headers):
    """Headers of other kinds make no CloudEvent; the value is the event."""
    assert kafka.mode_of(headers) is None
    assert kafka.read(headers, DATA) is None
    assert kafka.data_of(headers, DATA) is DATA


@pytest.mark.parametrize(
    ("headers", "value", "message"),
    [
        (BINARY[1:], DATA, "specversion: CloudEvents need the attribute 'specversion'"),
        (BINARY[:1], DATA, "id: CloudEvents need the attribute 'id'"),
        ((("ce_specversion", b"0.3"), *BINARY[1:]), DATA, "is '0.3'; CloudEvents 1.0 are taken"),
        ((*BINARY, ("ce_time", b"yesterday")), DATA, "time: 'yesterday' is no RFC 3339 time"),
        ((*BINARY, ("ce_time", b"2026-02-30T00:00:00Z")), DATA, "no RFC 3339"),
        ((*BINARY, ("ce_Bad-Name", b"x")), DATA, "no name of a CloudEvents attribute"),
        ((*BINARY, ("ce_subject", b""), ("ce_dataschema", None)), DATA, None),
        (STRUCTURED, envelope(subject=""), "subject: is empty"),
        ((*BINARY, ("content-type", b"text/xml")), DATA, "events are JSON"),
        (BINARY, None, "the value is null; a CloudEvent has data"),
        (STRUCTURED, b"[1]", "no CloudEvent in JSON"),
        (STRUCTURED, b"\xff", "no CloudEvent in JSON"),
        (STRUCTURED, b"[" * 100_000, "no CloudEvent in JSON"),
        (STRUCTURED, envelope(data=...), "data: is missing"),
        (STRUCTURED, envelope(id=5), None),
        (STRUCTURED, envelope(id=""), "need the attribute 'id'"),
        (STRUCTURED, envelope(id={}), "id: an attribute is a text, a number or a boolean"),
        (STRUCTURED, envelope(data_base64="e30="), "there is 'data' as well"),
        (STRUCTURED, envelope(data=..., data_base64="?"), "is no base64"),
        (STRUCTURED, envelope(data={"userId": "u"}), "$.data: Object missing required field"),
        (STRUCTURED, envelope(data={"userId": "u", "email": 1}), "$.data.email: Expected `str`"),
        (STRUCTURED, envelope(subject=None), None),
        ((("content-type", b"application/cloudevents+avro"),), b"", "are taken as application/c"),
        ((("content-type", b"application/cloudevents-batch+json"),), b"[]", "one in a record"),
    ],
)
async def test_a_wrong_one_is_invalid_and_says_why(headers, value, message):
    """It becomes a dead letter at once; null attributes and numbers are none of it."""
    handled = []

    async def handle(event):
        handled.append(event)

    bench = Bench(handle)
    bench.feed([record(0, headers, value)])
    await bench.until_done()
    await bench.runner.drain(1)
    if message is None:
        assert len(handled) == 1
        return
    [(_, failure)] = bench.source.failed
    assert failure.kind == "invalid"
    assert message in failure.message
    assert handled == []


@pytest.mark.parametrize("options", [{}, {"concurrency": 4}, {"shape": "batch"}])
async def test_a_handler_gets_the_data_and_the_attributes(options):
    """In either mode, next to plain events; the record's value stays as it came."""
    seen = []

    async def one(event, context):
        seen.append((event.user_id, context.cloud_event, context.value))

    async def batch(events, contexts):
        for event, context in zip(events, contexts, strict=True):
            await one(event, context)

    bench = Bench(batch if options.get("shape") == "batch" else one, **options)
    structured, binary = kafka.write(EVENT, DATA, "structured"), kafka.write(EVENT, DATA, "binary")
    bench.feed(
        [
            record(0, ()),
            record(1, structured.headers, structured.value),
            record(2, binary.headers, binary.value),
        ]
    )
    await bench.until_done()
    await bench.runner.drain(1)
    assert seen == [("u", None, DATA), ("u", EVENT, structured.value), ("u", EVENT, DATA)]


async def test_a_later_attempt_reads_it_as_the_first_did():
    """From what waits in the table: value and headers as they were published."""
    seen = []

    async def handle(event, context):
        seen.append((event.user_id, context.cloud_event.id))

    value, headers = kafka.write(EVENT, DATA, "structured")
    place, state = EventId("t", 0, 0, 1), RetryState(1, 0)
    entry = RetryEntry(1, place, b"k", value, tuple(headers), False, 0, 0, 0, state)
    attempts = Attempts(Bench(handle).target)
    assert await attempts.attempt(entry) is None
    assert seen == [("u", "e-1")]


def test_makes_one_of_a_plain_event():
    """With an id of its own, the publisher as its source, the topic as its type, and now."""
    first, second = describe("auth-service", "auth.registered"), describe("a", "t")
    assert first.id != second.id
    assert (first.source, first.type) == ("/auth-service", "auth.registered")
    assert CloudEvent.of(first.attributes()) == first


def test_attributes_are_checked_by_name():
    """The error's field is the attribute."""
    with pytest.raises(InvalidEventError) as error:
        CloudEvent.of({"specversion": "1.0", "id": "1", "source": "/"})
    assert error.value.field == "type"
