"""CloudEvents over HTTP: taken in three modes, given on request, refused with reasons."""

from __future__ import annotations

import json

import pytest

from tests.unit.test_publish_http import ADA, FakePublisher, error_of, serve  # noqa: F401
from trunkline.cloudevents import kafka

BINARY = {
    "Content-Type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "Ce-Source": "/shop/%C3%BC",
    "ce-type": "com.example.registered",
    "ce-sequence": "7",
}
STRUCTURED = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop/ü",
    "type": "com.example.registered",
    "sequence": 7,
    "data": ADA,
}
PATH = "/events/auth.registered"


def as_type(media_type):
    return {"Content-Type": media_type}


def one(publisher):
    [(_, [event], _)] = publisher.published
    return event


@pytest.mark.parametrize("mode", ["binary", "structured", "base64"])
async def test_takes_a_cloud_event(serve, mode):  # noqa: F811
    """On Kafka it stands in binary mode: plain JSON as the value, attributes in headers."""
    publisher = FakePublisher()
    client = await serve(publisher)
    if mode == "binary":
        response = await client.post(PATH, data=json.dumps(ADA), headers=BINARY)
    else:
        body = dict(STRUCTURED)
        if mode == "base64":
            del body["data"]
            body["data_base64"] = "eyJ1c2VySWQiOiIxIiwiZW1haWwiOiJhZGFAZXhhbXBsZS5jb20ifQ=="
        headers = as_type("application/cloudevents+json; charset=utf-8")
        response = await client.post(PATH, data=json.dumps(body), headers=headers)
    assert response.status == 202, await response.text()
    key, value, headers = one(publisher)
    assert (key, json.loads(value)) == (b"1", ADA)
    event = kafka.read(headers, value).event
    assert (event.id, event.source, event.type) == ("e-1", "/shop/ü", "com.example.registered")
    assert event.extensions == {"sequence": "7"}


async def test_takes_a_batch_as_a_whole_or_not_at_all(serve):  # noqa: F811
    """A wrong one is named by its index and its place in the envelope."""
    publisher = FakePublisher()
    client = await serve(publisher)
    headers = as_type("application/cloudevents-batch+json")
    good = json.dumps([STRUCTURED, STRUCTURED | {"id": "e-2"}])
    response = await client.post(PATH, data=good, headers=headers)
    assert await response.json() == {
        "accepted": 2,
        "records": [{"partition": 0, "offset": 0}, {"partition": 0, "offset": 1}],
    }
    bad = json.dumps([STRUCTURED, STRUCTURED | {"data": {"userId": "1"}}])
    error = await error_of(await client.post(PATH, data=bad, headers=headers), 400)
    assert (error["index"], error["field"]) == (1, "$.data.email")
    assert len(publisher.published) == 1


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("by_setting", [True, False])
async def test_makes_cloud_events_of_plain_ones_on_request(serve, mode, by_setting):  # noqa: F811
    """By ``?cloudevents=`` or by the setting."""
    publisher = FakePublisher(**({"cloudevents": mode} if by_setting else {}))
    client = await serve(publisher)
    query = {} if by_setting else {"cloudevents": mode}
    response = await client.post(PATH, json=ADA, params=query)
    assert response.status == 202
    _, value, headers = one(publisher)
    assert kafka.mode_of(headers) == mode
    event, data = kafka.read(headers, value)
    assert (event.source, event.type) == ("/auth-service", "auth.registered")
    assert json.loads(data) == ADA


async def test_off_in_the_query_beats_the_setting(serve):  # noqa: F811
    """And a plain event has no header."""
    publisher = FakePublisher(cloudevents="structured")
    client = await serve(publisher)
    await client.post(PATH, json=ADA, params={"cloudevents": "off"})
    assert one(publisher).headers == ()


async def test_a_cloud_event_keeps_its_attributes_in_structured_mode(serve):  # noqa: F811
    """Asked for structured, a binary one becomes structured, with its own id and source."""
    publisher = FakePublisher(cloudevents="structured")
    client = await serve(publisher)
    await client.post(PATH, data=json.dumps(ADA), headers=BINARY)
    _, value, headers = one(publisher)
    assert kafka.mode_of(headers) == "structured"
    assert kafka.read(headers, value).event.id == "e-1"


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({**BINARY, "ce-specversion": "0.3"}, ADA, 400, "specversion: is '0.3'"),
        ({**BINARY, "ce-time": "noon"}, ADA, 400, "no RFC 3339 time"),
        ({**BINARY, "ce-subject": "%ff"}, ADA, 400, "no UTF-8 when percent-decoded"),
        ({**BINARY, "Content-Type": "text/plain"}, ADA, 400, "events are JSON"),
        ({"ce-id": "1", "Content-Type": "application/json"}, ADA, 400, "'specversion'"),
        (BINARY, [ADA], 400, "$: "),
        (BINARY, {"userId": "1"}, 400, "$.email: is missing"),
        (as_type("application/cloudevents+json"), [STRUCTURED], 400, "no CloudEvent in JSON"),
        (as_type("application/cloudevents+json"), ADA, 400, "specversion"),
        (as_type("application/cloudevents-batch+json"), STRUCTURED, 400, "no batch"),
        (as_type("application/cloudevents-batch+json"), [], 400, "the batch is empty"),
        (as_type("application/cloudevents+xml"), ADA, 415, "application/cloudevents+json"),
        (as_type("application/cloudevents+json; charset=latin-1"), ADA, 415, "UTF-8"),
    ],
)
async def test_says_what_is_wrong(serve, headers, body, status, message):  # noqa: F811
    """400 for an event, 415 for a format; nothing is published."""
    publisher = FakePublisher()
    client = await serve(publisher)
    response = await client.post(PATH, data=json.dumps(body), headers=headers)
    assert message in (await error_of(response, status))["message"]
    assert publisher.published == []


async def test_an_unknown_mode_is_refused(serve):  # noqa: F811
    """400 with the modes that there are."""
    client = await serve(FakePublisher())
    response = await client.post(PATH, json=ADA, params={"cloudevents": "xml"})
    assert "off, binary, structured" in (await error_of(response, 400))["message"]


async def test_attributes_count_for_the_size(serve):  # noqa: F811
    """An event that its attributes make too large is refused as any other."""
    client = await serve(FakePublisher(max_event_bytes=1024))
    body = json.dumps(STRUCTURED | {"subject": "x" * 2000})
    headers = as_type("application/cloudevents+json")
    assert await error_of(await client.post(PATH, data=body, headers=headers), 413)
