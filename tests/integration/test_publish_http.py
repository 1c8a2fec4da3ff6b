"""The publishing endpoint on a real Kafka: 202 means that it is there, 503 that it is not."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.committed import read_committed
from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from trunkline.broker import find_free_port
from trunkline.publishing import PublisherService
from trunkline.settings import Settings
from trunkline.topology import AUTH_REGISTERED, USER_ACTIVITY, Topology
from trunkline.web.publish import publish_routes

pytestmark = pytest.mark.kafka

PATH = f"/events/{AUTH_REGISTERED}"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def user(name):
    return {"userId": str(name), "email": f"{name}@example.com"}


@pytest.fixture
async def serve():
    """Return a function that starts a publisher on a Kafka, and gives it with a client for it."""
    running = []

    async def serve(bootstrap, namespace="", service="auth-service", **settings):
        given = Settings(KAFKA_BOOTSTRAP_SERVERS=bootstrap, namespace=namespace, **settings)
        publisher = PublisherService(given, Topology(namespace), service)
        await publisher.start()
        app = web.Application()
        app.add_routes(publish_routes(publisher))
        client = TestClient(TestServer(app))
        await client.start_server()
        running.append((client, publisher))
        return client, publisher

    yield serve
    for client, publisher in running:
        await client.close()
        await publisher.stop()


async def test_publishes_what_it_accepts(kafka, namespace, serve):
    """Single events and lists from two instances: each accepted event is there once, keyed."""
    topic = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {topic: 3})
    instances = [await serve(kafka, namespace, pod=f"auth-{n}") for n in range(2)]
    for _, publisher in instances:
        await eventually(lambda publisher=publisher: publisher.ready)
    posts = [
        client.post(PATH, json=user(n) if n % 2 else [user(n), user(f"{n}b")])
        for n, (client, _) in enumerate(instances * 20)
    ]
    answers = [await response.json() for response in await asyncio.gather(*posts)]
    records = await read_committed(kafka, topic, 3)
    assert len(records) == sum(answer["accepted"] for answer in answers) == 60
    assert all(record.key == json.loads(record.value)["userId"].encode() for record in records)
    places = [(p["partition"], p["offset"]) for answer in answers for p in answer["records"]]
    assert len(set(places)) == 60
    assert set(places) == {(record.partition, record.offset) for record in records}
    assert sum(p.stats()["accepted"][AUTH_REGISTERED] for _, p in instances) == 60


async def test_adds_source_and_trace(kafka, namespace, serve):
    """An activity says which service it came through; the trace goes along as a header."""
    topic = f"{namespace}.{USER_ACTIVITY}"
    await create_topics(kafka, {topic: 1})
    client, publisher = await serve(kafka, namespace, service="web-service")
    await eventually(lambda: publisher.ready)
    page_view = {"event": "page_view", "page": "/home", "userId": "67890"}
    response = await client.post("/events", json=page_view, headers={"traceparent": TRACE})
    assert response.status == 202
    [record] = await read_committed(kafka, topic, 1)
    assert json.loads(record.value) == {**page_view, "source": "web-service"}
    assert record.headers == (("traceparent", TRACE.encode()),)


async def test_publishes_nothing_of_a_list_with_a_wrong_event(kafka, namespace, serve):
    """The 1,000th event is wrong: none of the 999 before it is there."""
    topic = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {topic: 1})
    client, publisher = await serve(kafka, namespace)
    await eventually(lambda: publisher.ready)
    response = await client.post(PATH, json=[*(user(n) for n in range(999)), {"userId": "1"}])
    assert response.status == 400
    assert (await response.json())["error"]["index"] == 999
    assert await read_committed(kafka, topic, 1) == []


async def test_starts_without_a_broker_and_connects_when_it_is_there(own_broker, serve):
    """Not ready and 503 at once, then ready and 202, then again when the broker was away."""
    port = find_free_port()
    client, publisher = await serve(f"127.0.0.1:{port}", publish_timeout_s=5)
    begun = time.monotonic()
    response = await client.post(PATH, json=user(1))
    assert response.status == 503
    assert response.headers["Retry-After"]
    assert time.monotonic() - begun < 15
    assert not publisher.ready

    broker = own_broker(port=port)
    await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap_servers, {AUTH_REGISTERED: 1})
    await eventually(lambda: publisher.ready, timeout_s=30)
    assert (await client.post(PATH, json=user(2))).status == 202
    assert (await client.post(PATH, json=[user(3), user(4)])).status == 202

    await asyncio.to_thread(broker.kill)
    assert (await client.post(PATH, json=user(5))).status == 503
    assert (await client.post(PATH, json=[user(6), user(7)])).status == 503
    await eventually(lambda: not publisher.ready)
    await asyncio.to_thread(broker.start)
    await eventually(lambda: publisher.ready, timeout_s=30)
    assert (await client.post(PATH, json=user(8))).status == 202
    assert (await client.post(PATH, json=[user(9)] * 2)).status == 202
    keys = [
        record.key for record in await read_committed(broker.bootstrap_servers, AUTH_REGISTERED, 1)
    ]
    assert keys == [b"2", b"3", b"4", b"8", b"9", b"9"]


async def test_stops_in_time_when_the_broker_is_gone(own_broker, serve):
    """A worker ends within seconds, with posts on their way and nobody to take them."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {AUTH_REGISTERED: 1})
    client, publisher = await serve(broker.bootstrap_servers)
    await eventually(lambda: publisher.ready)
    broker.kill()
    posts = [asyncio.create_task(client.post(PATH, json=body)) for body in (user(1), [user(2)] * 2)]
    # They wait for the broker, unless its end was noticed before them: then they are refused.
    await eventually(lambda: publisher.in_flight_bytes or all(post.done() for post in posts))
    begun = time.monotonic()
    await publisher.stop()
    assert time.monotonic() - begun < 20
    assert [(await post).status for post in posts] == [503, 503]
