"""Pages of retries and dead letters without Kafka: filters, refusals, masks, hostile texts."""

from __future__ import annotations

import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from models.failures import WIRE_VERSION, ErrorInfo, EventId, RetryEntry, RetryState
from tables.database import Database
from tables.dead_letter_queries import ReadOnlyDeadLetters
from tests.support.dead_letters import dead_letter
from trunkline.console import Console, ConsoleContext
from trunkline.console.pages.dead_letters import exporting
from trunkline.console.pages.dead_letters.exporting import ExportQuery
from trunkline.console.pages.records import editable_text, unmasked, why_not_editable
from trunkline.console.refusals import Refusal
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.scan import Found
from trunkline.errors import DependencyDown
from trunkline.retries.inspection import WaitingEvent
from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.guard import secure

EVIL = "<script>alert('x')</script>\u202e"
LATER_MS = int(time.time() * 1000) + 600_000


def an_event(number, key=b"7", *, group="engine-group", exception="builtins.TimeoutError", **more):
    error = ErrorInfo("transient", exception, EVIL, EVIL, 5)
    state = RetryState(2, LATER_MS, error, error)
    event = EventId("order.created", 0, number, 12)
    entry = RetryEntry(WIRE_VERSION, event, key, b"{}", (), True, number, 0, 0, state)
    return WaitingEvent(group, 0, entry, **more)


class FakeLive:
    """What waits, as the test says."""

    ready = connected = True
    left_out = 0

    def __init__(self, *events):
        self._events = list(events)

    def events(self):
        return self._events


class AwayIndex:
    """A database that is away."""

    async def overview(self, top=10):
        raise DependencyDown("The index of dead letters cannot be read: it is away.")


@pytest.fixture
async def client():
    """Give a function that serves a console with these parts, on loopback."""
    clients = []

    async def serve(**parts):
        settings = load_settings()
        context = ConsoleContext(settings, Topology(), Access(settings), **parts)
        application = web.Application()
        secure(application, context.access)
        application.add_routes(Console(context).routes())
        clients.append(TestClient(TestServer(application)))
        await clients[-1].start_server()
        return clients[-1]

    yield serve
    for each in clients:
        await each.close()


LIVE = FakeLive(
    an_event(1),
    an_event(2, parked=True),
    an_event(3, b"\xff\x00", exception="app.errors.QuotaError"),
    an_event(4, f"k{EVIL}".encode(), group="db-server-group"),
)


@pytest.mark.parametrize(
    ("query", "offsets"),
    [
        ("", [1, 2, 3, 4]),
        ("group=engine-group", [1, 2, 3]),
        ("group=engine-group&status=later", [1, 3]),
        ("status=parked", [2]),
        ("error=Quota", [3]),
        ("error=*Error&key=7", [1, 2]),
        ("key=0xff00", [3]),
        ("topic=auth.registered", []),
    ],
)
async def test_filters_of_what_waits(client, query, offsets):
    """They stand in the address, and mean on the page what they mean for the actions."""
    served = await client(retries=LIVE)
    page = await (await served.get(f"/api/retries?{query}")).json()
    assert [int(e["id"].rpartition("@")[2]) for e in page["events"]] == offsets
    assert page["waiting"] == 4
    words = dict(part.split("=", 1) for part in query.split("&") if part) or {"all": True}
    answer = await served.post("/api/retries/discard", json={**words, "dry_run": True})
    assert (await answer.json())["preview"]["count"] == len(offsets)


async def test_what_waits_is_only_read(client):
    """Keys and errors that others wrote are text on the page."""
    served = await client(retries=LIVE)
    html = await (await served.get("/console/retries")).text()
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;alert" in html


async def test_ten_thousand_waiting_events_are_one_page(client):
    """The page shows a hundred of them, and is not made of all."""
    served = await client(retries=FakeLive(*(an_event(n, str(n).encode()) for n in range(10_000))))
    began = time.process_time()
    answer = await served.get("/console/retries?page=3")
    spent = time.process_time() - began
    html = await answer.text()
    assert html.count('<tr id="w-') == 100
    assert "Page 3 of 100" in html
    assert spent < 5.0


@pytest.mark.parametrize("path", ["retries/now", "retries/discard"])
async def test_an_action_without_words_is_refused(client, path):
    """Nobody discards everything by forgetting a filter."""
    served = await client(retries=LIVE)
    answer = await served.post(f"/api/{path}", json={"dry_run": True})
    assert answer.status == 400
    assert "Give a filter, ids or all." in (await answer.json())["error"]["message"]


async def test_retry_now_leaves_parked_events_to_their_head(client):
    """The preview says so."""
    served = await client(retries=LIVE)
    body = {"group": "engine-group", "key": "7", "dry_run": True}
    preview = (await (await served.post("/api/retries/now", json=body)).json())["preview"]
    assert preview["count"] == 1
    assert "order.created[0]@1 of engine-group" in preview["details"]
    assert "1 event parked behind their key" in preview["details"][-1]


async def test_says_when_the_index_is_away(client):
    """The page, its JSON twin, and what to do."""
    served = await client(dead_letters=AwayIndex())
    page = await served.get("/console/dead-letters")
    twin = await served.get("/api/dead-letters")
    assert (page.status, twin.status) == (503, 503)
    assert "it is away" in await page.text()
    assert "it is away" in (await twin.json())["error"]["message"]


@pytest.mark.parametrize("path", ["retries", "dead-letters", "audit"])
async def test_says_when_a_worker_lacks_a_part(client, path):
    """Instead of failing."""
    served = await client()
    answer = await served.get(f"/api/{path}")
    assert answer.status == 503
    assert "This worker has no" in (await answer.json())["error"]["message"]


async def test_a_missing_index_file_is_not_made(tmp_path):
    """Who only reads says where it would be, and who makes it."""
    file = tmp_path / "dlq.sqlite"
    index = ReadOnlyDeadLetters(Database(f"sqlite+aiosqlite:///{file}"))
    with pytest.raises(DependencyDown, match="There is no index of dead letters at"):
        await index.overview()
    assert not file.exists()
    file.touch()
    with pytest.raises(DependencyDown, match="is empty: the dlq service makes its tables"):
        await index.overview()
    await index.stop()


@pytest.fixture
def masked():
    """A context that hides e-mail addresses."""
    settings = load_settings(mask_fields=("email",))
    return ConsoleContext(settings, Topology(), Access(settings))


ORIGINAL = b'{"userId": 7, "email": "a@b.c", "items": [{"email": "d@e.f"}, 1]}'


def test_masked_fields_of_an_edited_payload_stay_as_they_were(masked):
    """What is edited goes with the values that nobody saw."""
    shown = editable_text(masked, ORIGINAL)
    assert "a@b.c" not in shown
    assert "d@e.f" not in shown
    edited = json.loads(shown) | {"userId": 8}
    for text in (json.dumps(edited), json.dumps(edited, ensure_ascii=False)):
        assert json.loads(unmasked(masked, ORIGINAL, text.encode())) == {
            "userId": 8,
            "email": "a@b.c",
            "items": [{"email": "d@e.f"}, 1],
        }
    written = json.dumps(edited | {"email": "new@b.c"}).encode()
    assert json.loads(unmasked(masked, ORIGINAL, written))["email"] == "new@b.c"


@pytest.mark.parametrize("value", [{"other": "•••"}, {"items": [1, 2, "•••"]}, ["•••"]])
def test_a_mask_where_nothing_was_masked_is_refused(masked, value):
    """Nobody knows what it stands for."""
    with pytest.raises(Refusal, match="stands where nothing was masked"):
        unmasked(masked, ORIGINAL, json.dumps(value).encode())


def test_masks_in_a_list_that_got_shorter_are_refused(masked):
    """Of the items that are left nobody knows which they were: no one gets another's values."""
    original = b'{"items": [{"email": "a@b.c"}, {"email": "d@e.f"}]}'
    edited = json.loads(editable_text(masked, original))
    del edited["items"][0]

    with pytest.raises(Refusal, match="in a list that is longer or shorter"):
        unmasked(masked, original, json.dumps(edited).encode())


def test_an_exported_line_with_masks_says_so(masked):
    """So that it is not taken back; one without them is."""
    for value, is_masked in ((b'{"email": "a@b.c"}', True), (b'{"id": 7}', False)):
        letter = dead_letter(value=value)
        found = Found(letter, fingerprint_of(letter, Topology()), None)
        line = json.loads(exporting._line(masked, ExportQuery(), found))
        assert line.get("masked", False) is is_masked
        assert "a@b.c" not in exporting._line(masked, ExportQuery(format="csv"), found)


def test_only_json_objects_are_edited(masked):
    """Other payloads are exported, edited and imported."""
    for value in (None, b"", b"\xff", b"[1]", b"1", b"[" * 100_000):
        assert editable_text(masked, value) is None


@pytest.mark.parametrize(
    ("value", "left_out", "why"),
    [
        (None, 0, "is null"),
        (None, 9, "too large"),
        (b"\xff", 0, "is no text"),
        (b"[1]", 0, "is no JSON object"),
        (b'{"a": ', 0, "is no JSON"),
        (b"", 0, "is no JSON"),
    ],
)
def test_says_why_a_payload_cannot_be_edited(value, left_out, why):
    """Instead of leaving the button out."""
    assert why_not_editable(value, left_out).endswith(why) or left_out
