"""kafkajs (as in the seed) and kcat publish what we read, and read what we publish."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.kafka import create_topics, read_all
from tests.support.node import communicate, foreign_scripts, needs
from tests.support.waiting import eventually
from trunkline.delivery.partitioning import murmur2
from trunkline.publishing import EventReader, PublisherService, RawEvent
from trunkline.settings import Settings
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.web.publish import publish_routes

pytestmark = pytest.mark.kafka

KEYS = ["1", "12345", "67890", "ü", "日本語", "a b", "x" * 200, *(f"user-{n}" for n in range(40))]


@pytest.fixture(scope="session")
def kafkajs():
    """Return a function that runs one of our kafkajs scripts."""
    return foreign_scripts()


@pytest.fixture
async def topic(kafka, namespace):
    name = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {name: 3})
    return name


@pytest.fixture
async def post(kafka, namespace, topic):
    """Return a function that publishes events over HTTP, and returns their places."""
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS=kafka, namespace=namespace)
    publisher = PublisherService(settings, Topology(namespace), "auth-service")
    await publisher.start()
    await eventually(lambda: publisher.ready)
    app = web.Application()
    app.add_routes(publish_routes(publisher))
    async with TestClient(TestServer(app)) as client:

        async def post(body):
            response = await client.post(f"/events/{AUTH_REGISTERED}", json=body)
            assert response.status == 202, await response.text()
            return (await response.json())["records"]

        yield post
    await publisher.stop()


def event(user):
    return {"userId": user, "email": "user@example.com", "unknown": {"kept": [1.5, None]}}


async def test_kafkajs_reads_what_we_publish(kafka, topic, namespace, post, kafkajs):
    """Single events and lists: the seed's plain JSON, keyed by userId, nothing of ours in it."""
    places = [*await post(event("1")), *await post([event(key) for key in KEYS])]
    found = await kafkajs("read.mjs", kafka, topic, len(places), f"{namespace}.kafkajs")
    there = {(m["partition"], int(m["offset"])): m for m in found}
    for place, user in zip(places, ["1", *KEYS], strict=True):
        message = there[place["partition"], place["offset"]]
        assert message["key"] == user
        assert json.loads(message["value"]) == event(user)
        assert "__faust" not in message["value"]
        assert message["headers"] == []


async def test_kafkajs_chooses_the_same_partitions(kafka, topic, post, kafkajs):
    """A user's events stay in order, whichever client publishes them."""
    messages = [{"key": key, "value": json.dumps(event(key))} for key in KEYS]
    theirs = await kafkajs("publish.mjs", kafka, topic, stdin=json.dumps(messages))
    ours = await post([event(key) for key in KEYS])
    assert [place["partition"] for place in theirs] == [place["partition"] for place in ours]
    assert len({place["partition"] for place in ours}) == 3


async def test_we_read_what_kafkajs_publishes(kafka, topic, namespace, kafkajs):
    """With and without a key, as in the seed: each event fits the model."""
    messages = [{"key": key, "value": json.dumps(event("12345"))} for key in (None, "12345")]
    await kafkajs("publish.mjs", kafka, topic, stdin=json.dumps(messages))
    records = await read_all(kafka, topic)
    assert {record.key for record in records} == {None, b"12345"}
    reader = EventReader(Topology(namespace).topic(AUTH_REGISTERED), None, 10_000)
    assert {reader.read(RawEvent(record.value)).key for record in records} == {b"12345"}


async def test_kcat_publishes_and_reads(kafka, topic, post):
    """Kcat's lines are our events; with murmur2_random it chooses our partitions."""
    needs("kcat")
    await post([event(key) for key in KEYS])
    lines = "".join(f"{key}\t{json.dumps(event(key))}\n" for key in KEYS)
    options = ["-b", kafka, "-t", topic, "-K", "\t"]
    await communicate("kcat", "-P", *options, "-X", "partitioner=murmur2_random", stdin=lines)
    records = await read_all(kafka, topic)
    assert len(records) == 2 * len(KEYS)
    assert all(record.partition == murmur2(record.key) % 3 for record in records)
    read = (await communicate("kcat", "-C", *options, "-e", "-q")).splitlines()
    assert sorted(line.split("\t")[0] for line in read) == sorted(KEYS * 2)
    assert all(json.loads(line.split("\t")[1])["email"] == "user@example.com" for line in read)
