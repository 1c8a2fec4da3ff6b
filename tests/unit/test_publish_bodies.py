"""Bodies taken apart, and events checked against their model."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import ConfigurationError
from trunkline.publishing import EventReader, RawEvent, RejectedEventError, body_format, parse_body
from trunkline.publishing.samples import sample_events
from trunkline.topology import (
    AUTH_REGISTERED,
    NOTIFICATION_SENT,
    ORDER_CREATED,
    USER_ACTIVITY,
    Topology,
)

ADA = b'{"userId":"1","email":"ada@example.com"}'


def reader(topic=AUTH_REGISTERED, source="auth-service", max_bytes=10_000):
    return EventReader(Topology().topic(topic), source, max_bytes)


def rejected(raw, topic=AUTH_REGISTERED, **options):
    with pytest.raises(RejectedEventError) as caught:
        reader(topic, **options).read(RawEvent(raw))
    return caught.value


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("application/json; charset=utf-8", "json"),
        ("Application/JSON", "json"),
        ("application/cloudevent+json", "json"),
        ("application/x-ndjson", "lines"),
        ("application/jsonl", "lines"),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
        ("multipart/form-data; boundary=x", None),
        ("application/json; charset=utf-16", None),
    ],
)
def test_tells_formats_apart(content_type, form):
    """JSON and NDJSON are taken; what a foreign page can post without asking is not."""
    assert body_format(content_type) == form


def test_takes_an_object_an_array_and_lines():
    """Each shape gives the events byte for byte, with their place."""
    assert parse_body(b" " + ADA + b"\n") == [RawEvent(ADA)]
    assert parse_body(b"[" + ADA + b" , {}]") == [RawEvent(ADA, 0), RawEvent(b"{}", 1)]
    lines = ADA + b"\r\n\n" + ADA
    expected = [RawEvent(ADA, line=1), RawEvent(ADA, line=3)]
    assert parse_body(lines, "lines") == expected
    assert parse_body(lines, "json") == expected, "several lines are NDJSON whatever the type says"
    assert parse_body(b"\xef\xbb\xbf" + ADA) == [RawEvent(ADA)], "a byte order mark is no event"


def test_takes_an_object_over_several_lines():
    """A pretty-printed object is one event, published on one line."""
    pretty = json.dumps(json.loads(ADA), indent=2).encode()
    [raw] = parse_body(pretty)
    assert reader().read(raw).value == ADA


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"[ ]", b"\xef\xbb\xbf"])
def test_refuses_an_empty_body(body):
    """Nothing to publish is a mistake, not a success."""
    with pytest.raises(RejectedEventError, match="empty"):
        parse_body(body)


@pytest.mark.parametrize(
    "body", [b"{", b"nope", b'{"a":1} x', b"[1,", b"\xff", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_refuses_what_is_no_json(body):
    """Broken and deeply nested bodies are refused, and nothing crashes."""
    with pytest.raises(RejectedEventError, match="no JSON"):
        parse_body(body)


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (b'{"userId":"1"}', "$.email", "is missing"),
        (b'{"userId":1,"email":"a@b"}', "$.userId", "expected `str`, got `int`"),
        (b'{"userId":"","email":"a@b"}', "$.userId", "expected `str` of length >= 1"),
        (b'{"userId":null,"email":"a@b"}', "$.userId", "expected `str`, got `null`"),
        (b'{"userId":"1","email":"nobody"}', "$.email", "expected `str` matching regex '@'"),
        (b'{"userId":"\xff","email":"a@b"}', "$", "no UTF-8: invalid start byte (byte 11)"),
        (b'{"userId":"1","email":"a@b","x":"\xff"}', "$", "no UTF-8: invalid start byte (byte 33)"),
        (b"[]", "$", "expected `object`, got `array`"),
        (b"null", "$", "expected `object`, got `null`"),
        (b'"x"', "$", "expected `object`, got `str`"),
        (b'{"userId":"1","email":"a@b","x":' + b"[" * 9999 + b"]" * 9999 + b"}", "$", "nested"),
        (b'{"userId":"1","email":"a@b","x":NaN}', "$", "JSON is malformed"),
    ],
)
def test_names_the_field_that_is_wrong(raw, field, reason):
    """The error has the field's path and what is wrong with it."""
    error = rejected(raw)
    assert error.field == field
    assert error.reason.startswith(reason)


def test_names_the_event_that_is_wrong():
    """The error has the index in an array, and the line in NDJSON."""
    with pytest.raises(RejectedEventError, match=r"^event 3: \$\.email: is missing$") as caught:
        reader().read(RawEvent(b'{"userId":"1"}', position=3))
    assert (caught.value.index, caught.value.line) == (3, None)
    with pytest.raises(RejectedEventError, match=r"^line 7: "):
        reader().read(RawEvent(b"{}", line=7))


def test_publishes_the_original_json():
    """Fields that the model does not know, number formats and their order stay."""
    raw = b'{"x": 1.0e3, "userId":"1","email":"a@b" ,"y":{"z":[1 ,2]}}'
    event = reader().read(RawEvent(raw))
    assert event.value == raw
    assert event.key == b"1"


def test_keys_by_the_utf8_of_the_key_field():
    """Escapes are resolved: two spellings of one user have one key."""
    spelt = [b'{"userId":"\xc3\xbc","email":"a@b"}', b'{"userId":"\\u00fc","email":"a@b"}']
    assert {reader().read(RawEvent(raw)).key for raw in spelt} == {"ü".encode()}


@pytest.mark.parametrize("topic", [USER_ACTIVITY])
def test_adds_the_source_only_where_it_is_missing(topic):
    """An activity without a source gets the service's name; a given one stays, 'unknown' too."""
    web = reader(topic, source="web-service")
    bare = web.read(RawEvent(b'{"event":"e","userId":"1" }')).value
    assert bare == b'{"event":"e","userId":"1","source":"web-service"}'
    for given_source in (b"unknown", b"mine"):
        raw = b'{"source":"' + given_source + b'","event":"e","userId":"1"}'
        assert web.read(RawEvent(raw)).value == raw
    inner = web.read(RawEvent(b'{"event":"e","userId":"1","x":{"source":"no"}}')).value
    assert json.loads(inner)["source"] == "web-service"
    assert reader(AUTH_REGISTERED).read(RawEvent(ADA)).value == ADA, "no such field, none added"


def test_refuses_an_event_that_is_too_large():
    """Key and value together count."""
    error = rejected(ADA, max_bytes=len(ADA))
    assert error.too_large
    assert "TRUNKLINE_MAX_EVENT_BYTES" in error.reason
    assert reader(max_bytes=len(ADA) + 1).read(RawEvent(ADA)).value == ADA


@given(st.binary(max_size=60))
def test_never_crashes_on_any_bytes(body):
    """Whatever comes in is an event or a rejection."""
    events = reader()
    with contextlib.suppress(RejectedEventError):
        for raw in parse_body(body):
            assert events.read(raw).key


@given(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.none() | st.text() | st.floats(), st.lists)
    )
)
def test_keeps_every_unknown_field(extra):
    """What Python's json writes and reads comes out as it went in."""
    event = {**extra, "userId": "1", "email": "a@b"}
    try:
        raw = json.dumps(event, ensure_ascii=False, indent=1, allow_nan=False).encode()
    except ValueError:
        return  # NaN and lone surrogates are no JSON
    [parsed] = parse_body(raw)
    assert json.loads(reader().read(parsed).value) == event


@pytest.mark.parametrize(
    "topic", [AUTH_REGISTERED, ORDER_CREATED, NOTIFICATION_SENT, USER_ACTIVITY]
)
def test_samples_fit_their_model(topic):
    """Each declared topic has samples, of distinct users or of K in turn."""
    declared = Topology().topic(topic)
    events = [reader(topic).read(RawEvent(raw)) for raw in sample_events(declared, 30)]
    assert len({event.key for event in events}) == 30
    events = [reader(topic).read(RawEvent(raw)) for raw in sample_events(declared, 30, users=4)]
    assert len({event.key for event in events}) == 4


def test_a_topic_without_a_model_takes_no_events():
    """The failures topic passes on what it gets; nothing is published to it by hand."""
    with pytest.raises(ConfigurationError, match="no model"):
        EventReader(Topology().failures_topic("engine-group"), None, 1000)
