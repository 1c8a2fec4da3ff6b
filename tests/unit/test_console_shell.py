"""The console's shell: a page is HTML and JSON, an action is previewed and done."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support import eventually
from trunkline.audit import AuditError
from trunkline.console import Console, ConsoleContext
from trunkline.console.asking import asked
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Action, Outcome, Page, Preview, Section
from trunkline.errors import BrokerError
from trunkline.settings import load_settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.guard import secure

#: The simplest one there is.
_TEMPLATE = "refused.html"
EVIL = "<script>alert('x')</script>\u202e"


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of the page under test."""

    name: str = ""
    limit: int = 10
    order: Literal["up", "down"] = "up"


class Feed(msgspec.Struct, forbid_unknown_fields=True):
    """Body of the action under test."""

    count: int
    slowly: bool = False


class World:
    """What the section under test works on."""

    def __init__(self):
        self.fed = 0
        self.callers = []
        self.error = None
        self.go_on = asyncio.Event()

    def section(self, context):
        async def data(request):
            if self.error is not None:
                raise self.error
            query = asked(request, Query)
            animals = {"status": query.limit, "what": EVIL, "todo": ""}
            return {"asked": query, "refusal": animals}

        async def preview(body, caller):
            return Preview(f"{body.count} would be fed.", count=body.count, possible=body.count > 0)

        async def perform(body, caller, tell):
            self.callers.append(caller)
            if self.error is not None:
                raise self.error
            tell(1, body.count, "Feeding")
            if body.slowly:
                await self.go_on.wait()
            self.fed += body.count
            return Outcome(f"{body.count} were fed.", count=body.count)

        page = Page("zoo", "Zoo", _TEMPLATE, data, query=Query, nav="Zoo", key="z")
        return Section([page], [Action("zoo/feed", "Feed them", Feed, preview, perform)])


@pytest.fixture
def world():
    return World()


class Audit:
    """An audit trail in memory."""

    def __init__(self):
        self.actions = []
        self.away = False

    @contextlib.asynccontextmanager
    async def action(self, actor, action, what, count=None):
        if self.away:
            raise AuditError("Nothing was done: Kafka is away.")
        self.actions.append((str(actor).partition("@")[0], action, what))
        yield None


@pytest.fixture
def audit():
    return Audit()


@pytest.fixture
async def client(world, audit):
    settings = load_settings()
    context = ConsoleContext(settings, Topology(), Access(settings), audit=audit)
    access = context.access
    console = Console(context, sections=[world.section])
    application = web.Application()
    secure(application, access)
    application.add_routes(console.routes())
    async with TestClient(TestServer(application)) as client:
        yield client
        await console.stop()


async def test_a_page_is_html_and_the_same_data_as_json(client):
    """Both come from one function; the page names its JSON twin."""
    page = await client.get("/console/zoo?limit=7")
    html = await page.text()
    assert page.status == 200
    assert 'href="/api/zoo?limit=7"' in html
    assert '<a href="/console/zoo" aria-current="page" data-key="z">Zoo</a>' in html
    twin = await (await client.get("/api/zoo?limit=7")).json()
    assert twin["refusal"] == {"status": 7, "what": EVIL, "todo": ""}


async def test_what_others_wrote_is_escaped(client):
    """Markup in data is text."""
    html = await (await client.get("/console/zoo")).text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nam=x", "Unknown parameter 'nam'. Did you mean 'name'?"),
        ("limit=many", "limit='many': Expected `int`, got `str`. Correct it, or leave it out."),
        (
            "order=sideways",
            "order='sideways': Invalid enum value 'sideways'. Give one of up, down.",
        ),
        ("name=a&name=b", "Parameter 'name' is there twice. Give it once."),
        ("name=%00", "Parameter 'name' has a NUL character"),
    ],
)
async def test_a_wrong_parameter_is_named(client, query, message):
    """400 says which one, and what to do; as a page and as JSON."""
    twin = await client.get(f"/api/zoo?{query}")
    assert twin.status == 400
    assert (await twin.json())["error"]["message"].startswith(message)
    page = await client.get(f"/console/zoo?{query}")
    assert page.status == 400
    assert "400: not shown" in await page.text()


async def test_an_error_on_purpose_says_what_to_do(client, world):
    """Kafka being away is 503 with its reason, as a page and as JSON."""
    world.error = BrokerError("Kafka at 127.0.0.1:1 does not answer: connection refused")
    page, twin = await client.get("/console/zoo"), await client.get("/api/zoo")
    assert (page.status, twin.status) == (503, 503)
    assert "connection refused" in await page.text()
    assert twin.headers["Retry-After"]


async def test_a_mistake_of_ours_shows_nothing_of_itself(client, world, caplog):
    """500 tells no more than where to look; the log has the rest."""
    world.error = RuntimeError("password=hunter2")
    for path in ("/console/zoo", "/api/zoo"):
        answer = await client.get(path)
        assert answer.status == 500
        assert "hunter2" not in await answer.text()
    assert "hunter2" in caplog.text


async def test_unknown_paths_are_named(client):
    """404 says what there is, and 405 which methods are taken."""
    assert "There are: zoo." in await (await client.get("/console/zo")).text()
    assert (await client.get("/api/zo")).status == 404
    wrong = await client.put("/api/zoo")
    assert wrong.status == 405
    assert wrong.headers["Allow"] == "GET, HEAD"


async def test_the_front_door_leads_to_the_first_page(client):
    """``/console`` alone goes to it."""
    answer = await client.get("/console", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/console/zoo")


async def test_a_dry_run_only_says_what_would_happen(client, world):
    """Nothing is done."""
    answer = await client.post("/api/zoo/feed", json={"count": 3, "dry_run": True})
    assert (await answer.json())["preview"]["summary"] == "3 would be fed."
    assert world.fed == 0


async def test_an_action_is_done_and_says_so(client, world):
    """What is quick is answered with its result, and the one who asked is handed on."""
    answer = await client.post("/api/zoo/feed", json={"count": 3})
    body = await answer.json()
    assert (answer.status, body["state"]) == (200, "done")
    assert body["outcome"]["summary"] == "3 were fed."
    assert world.fed == 3
    assert world.callers[0].address == "127.0.0.1"


async def test_a_long_action_is_a_job_with_progress(client, world):
    """202 and an id; the job tells how far it is, and ends with its result."""
    answer = await client.post("/api/zoo/feed", json={"count": 3, "slowly": True})
    job = await answer.json()
    assert answer.status == 202
    assert (job["state"], job["done"], job["total"]) == ("running", 1, 3)
    world.go_on.set()

    async def done():
        asked = await (await client.get(f"/api/jobs/{job['job']}")).json()
        return asked["state"] == "done"

    await eventually(done)
    assert world.fed == 3


async def test_a_job_can_be_stopped(client, world, audit):
    """It ends at its next step; what is not done stays undone; who did it is noted, once."""
    job = await (await client.post("/api/zoo/feed", json={"count": 3, "slowly": True})).json()
    for _ in range(2):
        answer = await client.post(f"/api/jobs/{job['job']}/cancel", json={})
        assert (await answer.json())["state"] == "stopped"
    assert world.fed == 0
    what = {"job": job["job"], "title": "Feed them"}
    assert audit.actions == [("loopback", "job.stop", what)]


async def test_a_job_is_not_stopped_when_that_cannot_be_noted(client, world, audit):
    """503, and the job goes on."""
    job = await (await client.post("/api/zoo/feed", json={"count": 3, "slowly": True})).json()
    audit.away = True
    answer = await client.post(f"/api/jobs/{job['job']}/cancel", json={})
    assert answer.status == 503
    assert (await answer.json())["error"]["message"] == "Nothing was done: Kafka is away."
    world.go_on.set()
    await eventually(lambda: world.fed == 3)


async def test_an_action_that_cannot_be_noted_is_answered_with_503(client, world):
    """What is not in the audit trail is not done: try again when Kafka is there."""
    world.error = AuditError("Nothing was done: Kafka is away.")
    answer = await client.post("/api/zoo/feed", json={"count": 1})
    assert (answer.status, (await answer.json())["state"]) == (503, "failed")
    twin = await client.get("/api/zoo")
    assert twin.status == 503
    assert "tries again" not in await twin.text()


async def test_an_action_that_fails_says_why(client, world):
    """A refusal on purpose is the job's error; of a mistake of ours nothing is shown."""
    world.error = Refusal(409, "The zoo is closed.", "Come back tomorrow.")
    job = await (await client.post("/api/zoo/feed", json={"count": 1})).json()
    assert (job["state"], job["error"]) == ("failed", "The zoo is closed. Come back tomorrow.")
    world.error = RuntimeError("password=hunter2")
    job = await (await client.post("/api/zoo/feed", json={"count": 1})).json()
    assert "hunter2" not in job["error"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"count": "three"},
            400,
            "$.count: Expected `int`, got `str`. Its fields are: count, slowly.",
        ),
        ({"count": 1, "fast": True}, 400, "$: Object contains unknown field `fast`."),
        ({"count": 1, "dry_run": "yes"}, 400, "$.dry_run is neither true nor false."),
        ([1], 400, "The body is JSON, but no object."),
        ({"count": 1, "slowly": "x" * 70_000}, 413, "The body is larger than 65536 bytes."),
    ],
)
async def test_a_wrong_body_is_named(client, world, body, status, message):
    """The field, what it must be, and which there are."""
    answer = await client.post("/api/zoo/feed", json=body)
    assert answer.status == status
    assert (await answer.json())["error"]["message"].startswith(message)
    assert world.fed == 0


async def test_only_json_is_taken(client, world):
    """What a form of a foreign page can send is refused."""
    answer = await client.post("/api/zoo/feed", data=b'{"count": 1}')
    assert answer.status == 415
    assert world.fed == 0


async def test_static_files_are_cached_by_their_content(client):
    """The path has a hash; an old one is served, but not kept."""
    html = await (await client.get("/console/zoo")).text()
    url = html.split('<link rel="stylesheet" href="')[2].split('"')[0]
    current = await client.get(url)
    assert "immutable" in current.headers["Cache-Control"]
    version = url.split("/")[3]
    old = await client.get(url.replace(version, "0" * 12))
    assert (old.status, old.headers["Cache-Control"]) == (200, "no-cache")
    assert (await client.get(url.replace("console.css", "../console.py"))).status == 404
