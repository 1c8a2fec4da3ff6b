"""Browse the records of a real topic over HTTP: newest, by offset, by time, by key, live."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaProducer

from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from trunkline.console import Console, ConsoleContext
from trunkline.settings import load_settings
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.guard import secure

START_MS = 1_700_000_000_000
EVIL = b'{"userId": "<script>alert(1)</script>", "x": "\xe2\x80\xae"}'


@pytest.fixture
async def topic(kafka, namespace):
    """``auth.registered`` with 10 records in partition 0, a second apart; hostile ones in 1."""
    name = Topology(namespace).topic(AUTH_REGISTERED).name
    await create_topics(kafka, {name: 3})
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, transactional_id=f"{namespace}-tx", max_request_size=2_000_000
    )
    async with producer:
        async with producer.transaction():
            for number in range(10):
                await producer.send(
                    name,
                    json.dumps({"n": number}).encode(),
                    key=b"even" if number % 2 == 0 else b"odd",
                    partition=0,
                    timestamp_ms=START_MS + 1000 * number,
                )
        async with producer.transaction():
            for value in (EVIL, b"\xff\x00", None, b"x" * 300_000):
                await producer.send(
                    name,
                    value,
                    key=b"\xff",
                    partition=1,
                    timestamp_ms=START_MS,
                    headers=[("traceparent", b"\xff"), ("<b>", b"<i>")],
                )
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"never committed", partition=2)
        await producer.abort_transaction()
    return name


@pytest.fixture
async def client(kafka, namespace, monkeypatch):
    """A console without a view of the brokers."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    settings = load_settings(namespace=namespace)
    access = Access(settings)
    console = Console(ConsoleContext(settings, Topology(namespace), access))
    application = web.Application()
    secure(application, access)
    application.add_routes(console.routes())
    async with TestClient(TestServer(application)) as client:
        yield client
        await console.stop()


async def found(client, topic, query):
    answer = await client.get(f"/api/topics/{topic}?{query}")
    assert answer.status == 200, await answer.text()
    return (await answer.json())["found"]


def offsets(found):
    return [(record["partition"], record["offset"]) for record in found["records"]]


async def test_records_are_browsed(client, topic):
    """Newest, from an offset, from a time, and through a partition page by page."""
    newest = await found(client, topic, "partition=0&limit=3")
    assert offsets(newest) == [(0, 9), (0, 8), (0, 7)]
    assert newest["previous_offset"] == 4
    page = await found(client, topic, "partition=0&limit=3&offset=4")
    assert offsets(page) == [(0, 4), (0, 5), (0, 6)]
    assert (page["previous_offset"], page["next_offset"]) == (1, 7)
    since = await found(client, topic, f"at={START_MS + 7500}&partition=0")
    assert offsets(since) == [(0, 8), (0, 9)]
    since = await found(client, topic, "at=2023-11-14T22:13:28&partition=0")
    assert offsets(since) == [(0, 8), (0, 9)], "the same time, written as people do"
    assert offsets(await found(client, topic, "partition=2")) == [], "aborted is not there"


async def test_a_key_is_searched(client, topic):
    """It says how much was searched; bytes are written in hexadecimal."""
    even = await found(client, topic, "key=even&limit=3")
    assert offsets(even) == [(0, 8), (0, 6), (0, 4)]
    assert (even["searched"], even["stopped"]) == (14, "")
    even = await found(client, topic, f"key=even&at={START_MS + 3000}")
    assert offsets(even) == [(0, 4), (0, 6), (0, 8)]
    assert len(offsets(await found(client, topic, "key=0xff"))) == 4
    assert offsets(await found(client, topic, "key=nobody")) == []


async def test_a_search_that_is_cut_short_says_so(client, topic, monkeypatch):
    """What was not searched is not passed off as not there."""
    monkeypatch.setattr("trunkline.console.pages.topics.browsing.MAX_SEARCHED", 9)
    cut = await found(client, topic, "key=nobody")
    assert "were searched" in cut["stopped"]
    monkeypatch.setattr("trunkline.console.pages.topics.browsing._POLL_MS", 1)
    cut = await found(client, topic, f"key=nobody&at={START_MS}")
    assert cut["stopped"] == "" or cut["next_at_ms"] is not None


async def test_hostile_records_are_harmless(client, topic):
    """As rows, in full, and as downloads."""
    page = await client.get(f"/console/topics/{topic}?partition=1")
    html = await page.text()
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert len(html) < 100_000
    for offset in range(4):
        whole = await client.get(f"/console/topics/{topic}/1/{offset}")
        html = await whole.text()
        assert whole.status == 200
        assert "<script>alert" not in html
        assert "<i>" not in html
        assert len(html) < 120_000
    raw = await client.get(f"/api/topics/{topic}/1/0/value")
    assert await raw.read() == EVIL
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


WRONG = (
    ("?partition=9", 404, "has no partition 9. It has 0 to 2."),
    ("?at=yesterday", 400, "is no time. Write 2026-11-25T23:20"),
    ("?key=0xz", 400, "is no hexadecimal"),
    ("?limit=1000", 400, "limit='1000'"),
    ("?offset=-1", 400, "offset='-1'"),
    ("/0/99", 404, "which has 0 to"),
    ("/0/10", 404, "ends a transaction"),
    ("/0/x", 404, "is no offset"),
    ("/9/0", 404, "has no partition 9"),
)


async def test_what_is_not_there_is_named(client, topic):
    """And what is."""
    for path, status, message in WRONG:
        answer = await client.get(f"/api/topics/{topic}{path}")
        assert answer.status == status, path
        assert message in (await answer.json())["error"]["message"], path


async def test_only_topics_of_the_topology_are_shown(client):
    """Others of the cluster are nobody's business here."""
    for name in ("__consumer_offsets", "nothing", "../x", "%3Cscript%3E"):
        assert (await client.get(f"/api/topics/{name}")).status == 404


async def test_the_live_tail_sends_what_comes_and_no_more_than_one_can_read(client, topic, kafka):
    """Twenty rows of a flood, and how many were left out; nothing of before."""
    async with client.get(f"/api/topics/{topic}/tail?partition=0") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        events: list[tuple[str, object]] = []
        reading = asyncio.create_task(_read(answer, events))
        await eventually(lambda: events, what="the tail's first word")
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:

            async def flowing():
                await producer.send_and_wait(topic, b"new", partition=0)
                return any(kind == "record" for kind, _ in events)

            await eventually(flowing, what="a record")
            sent = [await producer.send(topic, b"flood", partition=0) for _ in range(500)]
            await asyncio.gather(*sent)
            await eventually(
                lambda: sum(n for kind, n in events if kind == "skipped") > 300, what="skipped ones"
            )
        rows = [row for kind, row in events if kind == "record"]
        assert all(row["value"] in {"new", "flood"} for row in rows)
        assert len(rows) < 200
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(answer: aiohttp.ClientResponse, events: list[tuple[str, object]]) -> None:
    kind = ""
    async with aclosing(_lines(answer)) as lines:
        async for line in lines:
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                events.append((kind, json.loads(value)))


async def _lines(answer):
    async for raw in answer.content:
        yield raw.decode().rstrip("\n")


async def test_kafka_being_away_is_said(monkeypatch):
    """503, with what to do."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    settings = load_settings()
    console = Console(ConsoleContext(settings, Topology(), Access(settings)))
    application = web.Application()
    application.add_routes(console.routes())
    async with TestClient(TestServer(application)) as client:
        answer = await client.get(f"/api/topics/{AUTH_REGISTERED}")
        assert answer.status == 503
        assert "127.0.0.1:1 does not answer" in (await answer.json())["error"]["message"]
