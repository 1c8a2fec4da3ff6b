"""The publishing endpoint: what it takes, and how it says no. Kafka is a fake here."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import MessageSizeTooLargeError

from tests.support.waiting import eventually
from trunkline.delivery.producer import NotAcknowledgedError, RecordMetadata
from trunkline.publishing import PublisherService
from trunkline.settings import Settings
from trunkline.topology import Topology
from trunkline.web.publish import publish_routes

ADA = {"userId": "1", "email": "ada@example.com"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class FakePublisher(PublisherService):
    """Keeps what it is to publish, or fails as it is told."""

    def __init__(self, service="auth-service", **settings):
        super().__init__(Settings(max_body_bytes=4096, **settings), Topology(), service)
        self.published = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, topic, events, traceparent=None):
        await self.gate.wait()
        if self.failure:
            raise self.failure
        self.published.append((topic, events, traceparent))
        return [RecordMetadata(topic, 0, offset) for offset in range(len(events))]


@pytest.fixture
async def serve():
    """Return a function that serves a publisher, and gives a client for it."""
    clients = []

    async def serve(publisher):
        app = web.Application()
        app.add_routes(publish_routes(publisher))
        clients.append(TestClient(TestServer(app)))
        await clients[-1].start_server()
        return clients[-1]

    yield serve
    for client in clients:
        await client.close()


async def error_of(response, status):
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    return (await response.json())["error"]


async def test_answers_202_with_the_places(serve):
    """One event: accepted, and where it is."""
    publisher = FakePublisher()
    client = await serve(publisher)
    response = await client.post("/events/auth.registered", json=ADA)
    assert response.status == 202
    expected = {"accepted": 1, "records": [{"partition": 0, "offset": 0}]}
    assert await response.json() == expected
    [(topic, [event], _)] = publisher.published
    assert (topic, event.key, json.loads(event.value)) == ("auth.registered", b"1", ADA)


async def test_leaves_the_places_out_for_long_lists(serve):
    """Up to 100 events are answered with their places."""
    client = await serve(FakePublisher())
    for count, shown in ((100, True), (101, False)):
        response = await client.post(
            "/events/auth.registered", json=[{**ADA, "email": "a@b"}] * count
        )
        answer = await response.json()
        assert answer["accepted"] == count
        assert ("records" in answer) == shown


@pytest.mark.parametrize(
    ("body", "content_type", "place"),
    [
        (b'[{"userId":"1","email":"a@b"},{"userId":2}]', "application/json", {"index": 1}),
        (b'{"userId":"1","email":"a@b"}\n\n{"userId":2}', "application/x-ndjson", {"line": 3}),
        (b'{"userId":2}', "application/json", {}),
    ],
)
async def test_names_the_event_and_the_field(serve, body, content_type, place):
    """400 says which event of the post and which field; nothing of the post is published."""
    publisher = FakePublisher()
    client = await serve(publisher)
    response = await client.post(
        "/events/auth.registered", data=body, headers={"Content-Type": content_type}
    )
    error = await error_of(response, 400)
    assert error["field"] == "$.userId"
    assert {name: error[name] for name in ("index", "line") if name in error} == place
    assert "Nothing was published" in error["message"]
    assert publisher.published == []
    assert publisher.stats()["refused"] == {"auth.registered": 1}


@pytest.mark.parametrize("body", [b"", b"[]", b"  ", b"nope", b"{", b"\xff\xfe", b"[" * 4000])
async def test_refuses_bodies_without_events(serve, body):
    """Empty lists, broken JSON and nesting bombs are the sender's mistake."""
    client = await serve(FakePublisher())
    response = await client.post(
        "/events/auth.registered", data=body, headers={"Content-Type": "application/json"}
    )
    await error_of(response, 400)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/events/auth.registred", "Did you mean /events/auth.registered?"),
        ("/events/order.created", "Post them to order-service."),
        ("/events/notification.fanout", "It takes /events/auth.registered, /events/user.activity."),
        ("/events/%00%ff", "It takes"),
        ("/events", "Say which topic: auth-service takes /events/auth.registered"),
    ],
)
async def test_says_where_events_go(serve, path, hint):
    """404 guesses what was meant, or names who takes the topic."""
    client = await serve(FakePublisher())
    error = await error_of(await client.post(path, json=ADA), 404)
    assert hint in error["message"]


async def test_a_service_with_one_topic_takes_events_without_its_name(serve):
    """POST /events is enough for the order-service; its events need no other name."""
    publisher = FakePublisher("order-service")
    client = await serve(publisher)
    order = {"orderId": "o-1", "userId": "1", "amountCents": 5}
    assert (await client.post("/events", json=order)).status == 202
    assert publisher.published[0][0] == "order.created"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_possible(serve, method):
    """405 is JSON as well, and says what is allowed."""
    client = await serve(FakePublisher())
    response = await client.request(method, "/events/auth.registered")
    await error_of(response, 405)
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/xml"])
async def test_refuses_other_content_types(serve, kind):
    """415 names those that are taken."""
    client = await serve(FakePublisher())
    response = await client.post(
        "/events/auth.registered", data=b"{}", headers={"Content-Type": kind}
    )
    assert "application/x-ndjson" in (await error_of(response, 415))["message"]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_refuses_posts_from_other_sites(serve, headers):
    """A web page elsewhere cannot make a browser publish."""
    client = await serve(FakePublisher())
    response = await client.post("/events/auth.registered", json=ADA, headers=headers)
    await error_of(response, 403)


async def chunked(size):
    for _ in range(size // 100):
        yield b" " * 100


@pytest.mark.parametrize(
    "body",
    [lambda: b" " * 5000, lambda: chunked(5000), lambda: gzip.compress(b" " * 1_000_000)],
    ids=["with length", "chunked", "compressed"],
)
async def test_refuses_bodies_that_are_too_large(serve, body):
    """413, whether the length was given, not given, or hidden by compression."""
    publisher = FakePublisher()
    client = await serve(publisher)
    data = body()
    headers = {"Content-Type": "application/json"}
    if isinstance(data, bytes) and data[:1] == b"\x1f":
        headers["Content-Encoding"] = "gzip"
    response = await client.post("/events/auth.registered", data=data, headers=headers)
    error = await error_of(response, 413)
    assert "TRUNKLINE_MAX_BODY_BYTES" in error["message"]
    assert publisher.in_flight_bytes == 0


async def test_takes_compressed_bodies(serve):
    """A gzip body is read like any other."""
    client = await serve(FakePublisher())
    response = await client.post(
        "/events/auth.registered",
        data=gzip.compress(json.dumps(ADA).encode()),
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert response.status == 202


async def test_refuses_an_event_that_is_too_large(serve):
    """413 with the place of the event in the list."""
    client = await serve(FakePublisher(max_event_bytes=1024))
    events = [ADA, {**ADA, "x": "y" * 1100}]
    error = await error_of(await client.post("/events/auth.registered", json=events), 413)
    assert error["index"] == 1


async def test_passes_on_one_wellformed_trace(serve):
    """The trace context goes along once; a broken or doubled one does not."""
    publisher = FakePublisher()
    client = await serve(publisher)
    for headers in (
        [("traceparent", TRACE)],
        [("traceparent", "00-nonsense")],
        [("traceparent", TRACE), ("traceparent", TRACE)],
        [("traceparent", TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32))],
    ):
        assert (
            await client.post("/events/auth.registered", json=ADA, headers=headers)
        ).status == 202
    assert [trace for _, _, trace in publisher.published] == [TRACE, None, None, None]


async def test_says_503_when_kafka_did_not_acknowledge(serve):
    """503 with Retry-After; what the broker refuses for its size is 413."""
    publisher = FakePublisher()
    client = await serve(publisher)
    publisher.failure = NotAcknowledgedError("auth.registered", 1, "no acknowledgement within 10 s")
    response = await client.post("/events/auth.registered", json=ADA)
    error = await error_of(response, 503)
    assert "no acknowledgement within 10 s" in error["message"]
    assert response.headers["Retry-After"] == "2"
    publisher.failure.__cause__ = MessageSizeTooLargeError()
    await error_of(await client.post("/events/auth.registered", json=ADA), 413)


async def test_says_503_at_once_while_kafka_is_away():
    """The real publisher, never connected: nothing waits."""
    publisher = PublisherService(Settings(), Topology(), "auth-service")
    app = web.Application()
    app.add_routes(publish_routes(publisher))
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/events/auth.registered", json=ADA)
        error = await error_of(response, 503)
    assert "Kafka is away" in error["message"]
    assert not publisher.ready
    assert publisher.stats()["failed"]["auth.registered"] == 1


async def test_holds_no_more_bytes_than_allowed(serve):
    """Beyond the cap posts get 503 at once; when others are done there is room again."""
    publisher = FakePublisher(max_in_flight_bytes=3000)
    publisher.gate.clear()
    client = await serve(publisher)
    big = {**ADA, "x": "y" * 2000}
    first = asyncio.create_task(client.post("/events/auth.registered", json=big))
    await eventually(lambda: publisher.in_flight_bytes)
    second = await client.post("/events/auth.registered", json=big)
    error = await error_of(second, 503)
    assert "Too many posts" in error["message"]
    publisher.gate.set()
    assert (await first).status == 202
    assert (await client.post("/events/auth.registered", json=big)).status == 202
    assert publisher.in_flight_bytes == 0
