"""A web server as a worker has it: the guard in front, status, events, and a small console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from trunkline.console import Console, ConsoleContext
from trunkline.console.registry import Action, Outcome, Page, Preview, Section
from trunkline.settings import Settings, load_settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.caller import caller_of
from trunkline.web.safety.guard import secure
from trunkline.web.safety.limits import SignInLimits
from trunkline.web.status import status_routes

TOKEN = "correct-horse-battery-staple"


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """Body of the only action."""

    text: str = ""


class Deeds:
    """A section with a page and an action; keeps who did what."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.addresses: list[str] = []

    def __call__(self, context: ConsoleContext) -> Section:
        async def data(request: web.Request) -> dict[str, Any]:
            return {"refusal": {"status": 0, "what": "nothing", "todo": ""}}

        async def preview(body: Note, caller: object) -> Preview:
            return Preview("It would be noted.")

        async def perform(body: Note, caller: Any, tell: object) -> Outcome:
            self.done.append((caller.name, body.text))
            self.addresses.append(caller.address)
            return Outcome("It was noted.")

        page = Page("deeds", "Deeds", "refused.html", data, nav="Deeds", key="d")
        return Section([page], [Action("deeds/note", "Note it", Note, preview, perform)])


@asynccontextmanager
async def served(
    deeds: Deeds,
    *,
    clock: Any = None,
    routes: Sequence[web.RouteDef] = (),
    **settings: Any,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """Serve it on loopback, whatever address the settings name, and give a client."""
    told: Settings = load_settings(**settings)
    times = {} if clock is None else {"clock": clock, "limits": SignInLimits(clock)}
    access = Access(told, **times)
    console = Console(ConsoleContext(told, Topology(), access), sections=[deeds])

    async def publish(request: web.Request) -> web.Response:
        deeds.done.append((caller_of(request).name, "published"))
        return web.json_response({"accepted": 1}, status=202)

    application = web.Application()
    secure(application, access)
    application.add_routes(
        [
            *status_routes(lambda: {"service": "zoo"}, lambda: (True, "")),
            web.post("/events/{topic}", publish),
            *routes,
            *console.routes(),
        ]
    )
    async with TestClient(TestServer(application)) as client:
        yield client
    await console.stop()
