"""Live tails give their slots back: whoever went away, however they went."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support import eventually
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.topics import tailing
from trunkline.console.pages.topics.tailing import LiveTails
from trunkline.console.refusals import Refusal
from trunkline.errors import TopologyError
from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access

AT_ONCE = 10


class Reader:
    """Reads a topic where nothing comes; while Kafka is away not even an empty batch."""

    is_away = False
    error = None

    def __init__(self, *_):
        pass

    async def records(self, *, follow, say):
        if Reader.error:
            raise Reader.error
        while Reader.is_away:
            say("Kafka is away.")
            await asyncio.sleep(3600)
        while True:
            yield []
            await asyncio.sleep(0.05)


class Tails:
    """A server with tails and nothing else."""

    def __init__(self, client, tails):
        self.client = client
        self.tails = tails
        self.transports = []

    async def open(self):
        answer = await self.client.get("/tail")
        first = await answer.content.readuntil(b"\n\n")
        assert b"Connecting" in first
        return answer

    @property
    def open_count(self):
        return len(self.tails._tasks)


@pytest.fixture
async def tails(monkeypatch):
    monkeypatch.setattr(tailing, "TopicReader", Reader)
    monkeypatch.setattr(tailing, "_CLOSE_S", 0.2)
    monkeypatch.setattr(Reader, "is_away", False)
    monkeypatch.setattr(Reader, "error", None)
    settings = load_settings()
    live = LiveTails(ConsoleContext(settings, Topology(), Access(settings)))

    async def serve(request):
        served.transports.append(request.transport)
        try:
            return await live.serve(request, "order.created", None)
        except Refusal as refusal:
            return web.Response(status=refusal.status)

    application = web.Application()
    application.add_routes([web.get("/tail", serve)])
    async with TestClient(TestServer(application)) as client:
        served = Tails(client, live)
        yield served
        await live.stop()


@pytest.mark.parametrize("away", [False, True])
async def test_clients_that_close_give_their_slots_back(tails, monkeypatch, away):
    """Within a second or two, also while nothing comes and while Kafka is away."""
    monkeypatch.setattr(Reader, "is_away", away)
    answers = [await tails.open() for _ in range(AT_ONCE)]
    assert (await tails.client.get("/tail")).status == 503
    for answer in answers:
        answer.close()
    await eventually(lambda: not tails.open_count, 3, "the slots")
    (await tails.open()).close()


async def test_a_client_that_vanished_is_given_up_by_the_kernel(tails):
    """It acknowledges no heartbeat: no end of the connection ever comes."""
    answer = await tails.open()
    (transport,) = tails.transports
    option = transport.get_extra_info("socket").getsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
    )
    assert 0 < option <= 30_000
    answer.close()


async def test_a_client_that_takes_nothing_is_cut_off(tails, monkeypatch):
    """Its connection lives, but what is sent stays in the buffers."""
    monkeypatch.setattr(tailing, "_TAKEN_WITHIN_S", 0.2)
    monkeypatch.setattr(tailing, "_HEARTBEAT_S", 0.1)
    answer = await tails.open()

    async def hang(_response, _data):
        await asyncio.sleep(3600)

    monkeypatch.setattr(web.StreamResponse, "write", hang)
    await eventually(lambda: not tails.open_count, 5, "the slot")
    with contextlib.suppress(Exception):
        await answer.read()
    assert tails.transports[0].is_closing()


async def test_says_that_kafka_is_away_while_it_is(tails, monkeypatch):
    """Not only when it is there again."""
    monkeypatch.setattr(Reader, "is_away", True)
    answer = await tails.open()
    said = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 3)
    assert b"Kafka is away." in said
    answer.close()


async def test_the_last_word_is_why_it_ended(tails, monkeypatch):
    """And the stream ends behind it."""
    monkeypatch.setattr(Reader, "error", TopologyError("There is no topic."))
    answer = await tails.open()
    assert b"There is no topic." in await asyncio.wait_for(answer.read(), 3)
    await eventually(lambda: not tails.open_count, 3, "the slot")
