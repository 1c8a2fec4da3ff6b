"""The hub with a real web server and real clients on loopback."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import pytest
from yarl import URL

from tests.support.event_stream import Stream, serve
from tests.support.waiting import eventually
from trunkline.web.notifications import HubLimits


async def test_pushes_to_every_client_of_the_user_and_to_no_other():
    """Two clients of one user get its notification; another user's client gets only its own."""
    async with (
        serve() as service,
        service.stream("ann") as one,
        service.stream("ann") as two,
        service.stream("bob") as other,
    ):
        for stream in (one, two, other):
            await stream.greeting()
        service.publish("ann", "for ann")
        service.publish("bob", "for bob")
        assert [await one.message(), await two.message()] == ["for ann"] * 2
        assert await other.message() == "for bob"
        assert service.hub.stats() | {"clients": 3, "pushed": 3} == service.hub.stats()


async def test_writes_the_record_s_place_and_its_fields():
    """The id is partition-offset, and a field that our model lacks is sent on."""
    async with serve() as service, service.stream("u") as stream:
        await stream.greeting()
        service.publish("u", "m", raw=b'{"userId":"u","message":"m","x":1}', partition=3, offset=41)
        assert await stream.frame() == {
            "id": "3-41",
            "event": "notification",
            "data": '{"userId":"u","message":"m","x":1}',
        }


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        ("two\nlines\r\nand\rmore", None),
        ("\n\ndata: forged\nid: 9-9\n\n", None),
        ("line\u2028and\u2029paragraph\x85", None),
        ("spread", b'\r\n{"userId":\r"u",\n\n"message":\n"spread"}\r\n'),
        ("odd", b'{"userId":"u","message":"odd","x":"\xff\xfe"}'),
        ("", None),
        ("\ufefffirst", None),
    ],
)
async def test_hostile_content_stays_one_event(message, raw):
    """Whatever a notification contains, its client gets one event, and the next one behind it."""
    async with serve() as service, service.stream("u") as stream:
        await stream.greeting()
        service.publish("u", message, raw=raw)
        service.publish("u", "next")
        assert await stream.message() == message
        assert await stream.message() == "next"
        assert stream.last_id == "0-1"


async def test_a_huge_notification_arrives_whole():
    """900 kB go out in one event."""
    async with serve() as service, service.stream("u") as stream:
        await stream.greeting()
        raw = b'{"userId":"u","message":"big","x":"%s"}' % (b"y" * 900_000)
        service.publish("u", "big", raw=raw)
        kind, data = await stream.event()
        assert (kind, len(data["x"])) == ("notification", 900_000)


async def test_replays_what_a_client_missed():
    """A client that names its last event gets what came since, once and in order, then the rest."""
    async with serve() as service:
        async with service.stream("u") as stream:
            await stream.greeting()
            service.publish("u", "0")
            assert await stream.message() == "0"
            last_id = stream.last_id
        for number in range(1, 4):
            service.publish("u", str(number))
            service.publish("v", "of another user")
        async with service.stream("u", Last_Event_ID=last_id) as stream:
            service.publish("u", "4")
            assert [await stream.message() for _ in range(4)] == ["1", "2", "3", "4"]
        assert service.hub.stats() | {"replayed": 3, "gaps": 0} == service.hub.stats()


async def test_replays_by_query_too():
    """An EventSource that is made anew cannot set headers."""
    async with serve() as service:
        service.publish("u", "0")
        service.publish("u", "1")
        async with service.stream("u?lastEventId=0-0") as stream:
            assert await stream.message() == "1"


async def test_a_new_client_gets_no_history():
    """Without a Last-Event-ID the stream begins now."""
    async with serve() as service:
        service.publish("u", "old")
        async with service.stream("u") as stream:
            await stream.greeting()
            service.publish("u", "new")
            assert await stream.message() == "new"


async def test_resumes_although_it_never_had_an_event():
    """The first frame's id is enough, also when there had been no notification at all."""
    async with serve() as service:
        async with service.stream("u") as stream:
            await stream.greeting()
            first_id = stream.last_id
        service.publish("u", "missed")
        async with service.stream("u", Last_Event_ID=first_id) as stream:
            assert await stream.message() == "missed"
            second_id = stream.last_id
        async with service.stream("u", Last_Event_ID=second_id) as stream:
            assert "event" not in {name for frame in await stream.greeting() for name in frame}


async def test_says_when_more_may_have_been_missed():
    """What fell out of the buffer cannot be replayed: a gap comes first, then what is left."""
    async with serve(HubLimits(replay=3)) as service:
        for number in range(6):
            service.publish("u", str(number))
        async with service.stream("u", Last_Event_ID="0-1") as stream:
            assert await stream.event() == ("gap", {"lastEventId": "0-1"})
            assert [await stream.message() for _ in range(3)] == ["3", "4", "5"]
        assert service.hub.stats()["gaps"] == 1


@pytest.mark.parametrize("last_id", ["nonsense", "9-", "-1-5", "0-99", "5-0", "\u00e9", "start2"])
async def test_an_unknown_last_event_id_is_a_gap(last_id):
    """An id that this pod does not know may stand for anything; the client is told."""
    async with serve() as service:
        service.publish("u", "0")
        async with service.stream("u", Last_Event_ID=last_id) as stream:
            assert (await stream.event())[0] == "gap"
            await stream.greeting()
            service.publish("u", "1")
            assert await stream.message() == "1"


async def test_the_buffer_is_bounded_in_bytes():
    """Large notifications push older ones out before their number does."""
    async with serve(HubLimits(replay_bytes=500_000)) as service:
        for number in range(10):
            raw = b'{"userId":"u","message":"%d","x":"%s"}' % (number, b"y" * 100_000)
            service.publish("u", str(number), raw=raw)
        stats = service.hub.stats()
        assert stats["buffered"] == 4
        assert stats["buffered_bytes"] < 500_000


async def test_a_slow_client_is_cut_off_alone_and_catches_up():
    """A client that does not read loses its connection; the others, and the hub, do not wait."""
    limits = HubLimits(queue=20, queue_bytes=2_000_000)
    async with serve(limits) as service, service.stream("u") as good:
        await good.greeting()
        port = int(service.url.rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /notifications/u HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: service.hub.stats()["clients"] == 2)
        raw = b'{"userId":"u","message":"%s"}' % (b"y" * 200_000)
        sent = 0
        while service.hub.stats()["dropped_slow"] == 0 and sent < 200:
            service.publish("u", "big", raw=raw)
            sent += 1
            assert len(await good.message()) == 200_000
        assert service.hub.stats() | {"dropped_slow": 1, "clients": 1} == service.hub.stats()
        service.publish("u", "after")
        assert await good.message() == "after"
        writer.close()


async def test_refuses_clients_beyond_the_limit():
    """One client more than allowed gets 503, and a place as soon as one is free."""
    async with serve(HubLimits(clients=2)) as service:
        async with (
            service.stream("a"),
            service.stream("b"),
            service.session.get(f"{service.url}/notifications/c") as response,
        ):
            assert response.status == 503
            assert "2 clients" in (await response.json())["error"]
        await eventually(lambda: service.hub.stats()["clients"] == 0)
        async with service.stream("c") as stream:
            await stream.greeting()


async def test_refuses_clients_until_the_pod_reads():
    """A client that is connected before the pod reads would miss what comes."""
    ready = []
    async with serve(is_ready=lambda: bool(ready)) as service:
        async with service.session.get(f"{service.url}/notifications/u") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        ready.append(1)
        async with service.stream("u") as stream:
            await stream.greeting()


@pytest.mark.parametrize("user_id", ["", "x" * 257])
async def test_refuses_a_user_id_that_no_event_can_have(user_id):
    """The same limits as in the event: 1 to 256 characters."""
    async with (
        serve() as service,
        service.session.get(f"{service.url}/notifications/{user_id}") as response,
    ):
        assert response.status == 400
        assert "userId" in (await response.json())["error"]


@pytest.mark.parametrize("user_id", ["a/b", "a b%", "h\u00e9\u4e16", "x" * 256, "a?b#c", "{u}"])
async def test_takes_any_user_id_that_an_event_can_have(user_id):
    """Slashes and all: percent-encoded in the path."""
    async with serve() as service:
        url = URL(f"{service.url}/notifications/{quote(user_id, safe='')}", encoded=True)
        async with service.session.get(url) as response:
            stream = Stream(response)
            await stream.greeting()
            service.publish(user_id, "m")
            assert await stream.message() == "m"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_only_get_is_allowed(method):
    """A HEAD would hold a stream open that nobody reads."""
    async with (
        serve() as service,
        service.session.request(method, f"{service.url}/notifications/u") as response,
    ):
        assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_forgets_clients_that_leave_while_it_is_quiet():
    """Without a notification or a heartbeat to write, gone clients are noticed and forgotten."""
    async with serve(HubLimits(heartbeat_s=60)) as service:
        for _ in range(3):
            async with service.stream("a") as one, service.stream("b"):
                await one.greeting()
                assert service.hub.stats()["clients"] >= 1
        await eventually(lambda: service.hub.stats()["clients"] == 0, timeout_s=5)
        assert service.hub.stats()["users"] == 0
        handlers = [t for t in asyncio.all_tasks() if "_get" in repr(t.get_coro())]
        assert handlers == []


async def test_a_quiet_stream_beats_and_moves_its_id():
    """A heartbeat names the newest id, so that a quiet client need not fear a gap later."""
    async with serve(HubLimits(heartbeat_s=0.05)) as service, service.stream("quiet") as stream:
        await stream.greeting()
        service.publish("other", "m", offset=7)
        while stream.last_id != "0-7":
            assert await stream.frame() is not None
        service.publish("quiet", "mine", offset=8)
        assert await stream.message() == "mine"


async def test_ends_all_streams_promptly_also_a_blocked_one():
    """Stopping takes about a second at most, and leaves no client waiting."""
    async with serve(HubLimits(queue=1000)) as service:
        streams = [await service.session.get(f"{service.url}/notifications/u") for _ in range(50)]
        await eventually(lambda: service.hub.stats()["clients"] == 50)
        port = int(service.url.rsplit(":", 1)[1])
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /notifications/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: service.hub.stats()["clients"] == 51)
        for _ in range(30):
            service.publish("slow", "m", raw=b'{"x":"%s"}' % (b"y" * 200_000))
            await asyncio.sleep(0)
        started = time.monotonic()
        await service.hub.stop()
        await service.runner.cleanup()
        assert time.monotonic() - started < 8
        for response in streams:
            assert b"retry:" in await response.read()
        assert service.hub.stats()["clients"] == 0
        writer.close()


async def test_a_stopping_pod_refuses_clients():
    """A client that comes while the pod stops is sent to another one."""
    async with serve() as service:
        await service.hub.stop()
        async with service.session.get(f"{service.url}/notifications/u") as response:
            assert response.status == 503


async def test_a_thousand_clients_cost_little():
    """1,000 clients and 500 notifications: each reaches its own, with time to spare."""
    async with serve() as service:
        opening = (service.session.get(f"{service.url}/notifications/{n}") for n in range(1000))
        streams = [Stream(response) for response in await asyncio.gather(*opening)]
        await eventually(lambda: service.hub.stats()["clients"] == 1000)
        started = time.process_time()
        for number in range(500):
            service.publish(str(number), str(number))
            if number % 10 == 9:
                await asyncio.sleep(0)
        messages = [await stream.message() for stream in streams[:500]]
        assert messages == [str(n) for n in range(500)]
        # At 100 notifications/s that is 5 s of work for both ends together.
        assert time.process_time() - started < 10
        started = time.monotonic()
        await service.hub.stop()
        assert time.monotonic() - started < 8
