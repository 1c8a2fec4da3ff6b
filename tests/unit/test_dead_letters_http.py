"""``GET /dead-letters``: what it shows, and how it says no. The index is a fake here."""

from __future__ import annotations

import base64
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tables.dead_letter_overview import OverviewKeeper
from tests.support import eventually
from trunkline.dead_letters.index import FingerprintRow, LetterRow, Overview
from trunkline.errors import DependencyDown
from trunkline.web.dead_letters import dead_letter_routes

DIGEST = "0123456789ab"
EVIL = "<script>alert('x')</script>\u2028"


def fingerprint(number=0):
    counts = {"count": 3, "open": 1, "redriven": 1, "discarded": 1}
    times = {"first_seen_ms": 1, "last_seen_ms": 2}
    digest = f"{number:012x}" if number else DIGEST
    return FingerprintRow(
        digest, "order.created", "engine-group", "E", "a.py:f", EVIL, **counts, **times
    )


def letter(offset):
    place = {"topic": "dlq.order.created", "partition": 1, "offset": offset, "timestamp_ms": 7}
    return LetterRow(
        f"dlq.order.created[1]@{offset}",
        **place,
        status="open",
        origin="order.created[1]@42",
        origin_timestamp_ms=7,
        group="engine-group",
        exception="E",
        place="a.py:f",
        kind="transient",
        message=EVIL,
        key=EVIL,
        attempts=4,
        redrives=0,
        source="trunkline",
        at_ms=9,
        first_failed_at_ms=None,
    )


class FakeIndex:
    """Has three fingerprints, and five letters of one; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.down = False
        self.refused = 0

    async def fingerprints(self, **wanted):
        self._note(wanted)
        return [fingerprint(number) for number in range(3)][: wanted["limit"]]

    async def fingerprint(self, digest):
        return fingerprint() if digest == DIGEST else None

    async def letters(self, digest, **wanted):
        self._note(wanted)
        after = wanted["after"]
        offsets = [n for n in (5, 4, 3, 2, 1) if after is None or n < after.offset]
        return [letter(offset) for offset in offsets][: wanted["limit"]]

    async def overview(self, top=10):
        self._note({"top": top})
        return Overview(1, 2, 3, 1, (fingerprint(),))

    def _note(self, wanted):
        if self.down:
            self.refused += 1
            raise DependencyDown("The index of dead letters cannot be read.")
        self.asked.append(wanted)


@pytest.fixture
def index():
    return FakeIndex()


@pytest.fixture
async def client(index):
    app = web.Application()
    app.add_routes(dead_letter_routes(index))
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(client, path, expected=200, **params):
    response = await client.get(path, params=params)
    assert response.status == expected, await response.text()
    assert response.content_type == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return await response.json()


async def test_shows_fingerprints_with_their_counts(client, index):
    """All of them, with 100 as the limit."""
    body = await get(client, "/dead-letters")
    assert not body["more"]
    assert len(body["fingerprints"]) == 3
    first = body["fingerprints"][0]
    assert first.pop("message") == EVIL
    assert first == {
        "fingerprint": DIGEST,
        "topic": "order.created",
        "group": "engine-group",
        "exception": "E",
        "place": "a.py:f",
        "count": 3,
        "open": 1,
        "redriven": 1,
        "discarded": 1,
        "first_seen_ms": 1,
        "last_seen_ms": 2,
    }
    assert index.asked == [{"topic": None, "group": None, "status": None, "limit": 101}]


async def test_passes_filters_on(client, index):
    """Topic, group and status; an empty parameter is none."""
    wanted = {"topic": "order.created", "group": "engine-group", "status": "open", "limit": "7"}
    await get(client, "/dead-letters", **wanted)
    await get(client, "/dead-letters", topic="", status="")
    assert index.asked == [
        {**wanted, "limit": 8},
        {"topic": None, "group": None, "status": None, "limit": 101},
    ]


async def test_says_that_there_are_more(client):
    """A list that was cut is not taken for the whole."""
    body = await get(client, "/dead-letters", limit="2")
    assert (len(body["fingerprints"]), body["more"]) == (2, True)
    assert not (await get(client, "/dead-letters", limit="3"))["more"]


async def test_pages_letters(client):
    """Each page names the next one, and the last one none."""
    path, found, following = f"/dead-letters/{DIGEST}", [], ""
    while following is not None:
        body = await get(client, path, limit="2", after=following)
        assert body["fingerprint"]["fingerprint"] == DIGEST
        found += [each["offset"] for each in body["letters"]]
        following = body["next"]
    assert found == [5, 4, 3, 2, 1]


async def test_a_full_last_page_names_no_other(client):
    """Five letters in a page of five."""
    body = await get(client, f"/dead-letters/{DIGEST}", limit="5")
    assert (len(body["letters"]), body["next"]) == (5, None)


def token(*place):
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


LETTERS = f"/dead-letters/{DIGEST}"


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("/dead-letters", "limit=0", "limit='0': give a number from 1 to 1000."),
        ("/dead-letters", "limit=1001", "limit='1001': give a number from 1 to 1000."),
        ("/dead-letters", "limit=ten", "limit='ten': give a number from 1 to 1000."),
        ("/dead-letters", "limit=" + "9" * 5000, f"limit='{'9' * 100}': give a number"),
        ("/dead-letters", "status=opne", "status='opne': give one of open, redriven, discarded."),
        ("/dead-letters", "gruop=x", "Unknown parameter 'gruop'. Did you mean 'group'?"),
        ("/dead-letters", "zzz=x", "Unknown parameter 'zzz'. Known: topic, group, status, limit."),
        ("/dead-letters", "topic=a&topic=b", "Parameter 'topic' is there twice: give it once."),
        ("/dead-letters", "topic=%00", "Parameter 'topic' has a NUL character: leave it out."),
        (LETTERS, "topic=x", "Unknown parameter 'topic'. Known: status, limit, after."),
        (LETTERS, "after=x", "after='x': give the 'next' of the page before, as it was."),
        (LETTERS, "after=" + token(1, 2), "give the 'next' of the page before"),
        (LETTERS, "after=" + token(1, "t", 0, 2**63, 0), "give the 'next' of the page before"),
        (LETTERS, "after=" + token(1, "t\0", 0, 0, 0), "give the 'next' of the page before"),
        (LETTERS, "after=é", "after='é': give the 'next' of the page before"),
    ],
)
async def test_says_what_is_wrong_with_a_parameter(client, index, path, params, message):
    """400, with the name, the value and what would do; nothing was asked."""
    response = await client.get(f"{path}?{params}")
    assert response.status == 400
    assert message in (await response.json())["error"]["message"]
    assert index.asked == []


@pytest.mark.parametrize("digest", ["ffffffffffff", "nonsense", "%00"])
async def test_404_for_an_unknown_fingerprint(client, digest):
    """It says where the known ones are."""
    body = await get(client, f"/dead-letters/{digest}", 404)
    assert "See /dead-letters" in body["error"]["message"]


async def test_503_while_the_database_is_away(client, index):
    """With the reason; to ask again is worth it."""
    index.down = True
    for path in ("/dead-letters", LETTERS):
        response = await client.get(path)
        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
        assert "cannot be read" in (await response.json())["error"]["message"]


async def test_nothing_can_be_changed(client):
    """The index is read-only."""
    assert (await client.post("/dead-letters")).status == 405
    assert (await client.delete(LETTERS)).status == 405


async def test_keeps_the_overview_of_before_while_the_database_is_away(index):
    """``/stats`` cannot wait: it shows the last answer with its time, and goes on asking."""
    keeper = OverviewKeeper(index, refresh_s=0.01)
    assert keeper.stats() == {}
    async with keeper:
        await eventually(keeper.stats)
        index.down = True
        await eventually(lambda: index.refused > 1)
        before = keeper.stats()
        assert (before["open"], before["redriven"], before["discarded"]) == (1, 2, 3)
        assert before["top"][0]["fingerprint"] == DIGEST
        asked, index.down = len(index.asked), False
        await eventually(lambda: len(index.asked) > asked + 1)
        assert keeper.stats()["as_of_ms"] > before["as_of_ms"]
