"""The console of one worker: put its routes into the worker's web server, start and stop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from trunkline import __version__
from trunkline.console.context import ConsoleContext
from trunkline.console.jobs import Jobs
from trunkline.console.openapi import openapi
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Action, Page, Section
from trunkline.console.rendering import Renderer
from trunkline.console.sections import SECTIONS
from trunkline.console.serving import Answer, Serving, answer_json
from trunkline.console.signing_in import SigningIn
from trunkline.console.static_files import StaticFiles
from trunkline.delivery.startstop import Startable


class Console:
    """All pages and actions.

    Args:
        context: What they need.
        sections: Else all of them.

    """

    def __init__(
        self,
        context: ConsoleContext,
        sections: Sequence[Callable[[ConsoleContext], Section]] = SECTIONS,
    ) -> None:
        made = [section(context) for section in sections]
        self.pages: list[Page] = [page for section in made for page in section.pages]
        self.actions: list[Action[Any]] = [a for section in made for a in section.actions]
        self._routes = [route for section in made for route in section.routes]
        self._static = StaticFiles()
        self._jobs = Jobs()
        self._parts: list[Startable] = [self._jobs]
        self._parts += [part for section in made for part in section.parts]
        shared = {
            "version": __version__,
            "namespace": context.settings.namespace,
            "kafka_away": lambda: context.view.away if context.view else "",
        }
        self._renderer = Renderer(self.pages, self._static, shared)
        self._serving = Serving(self._renderer, self._jobs, context.audit)
        hours = context.settings.sign_in_hours
        self._signing_in = SigningIn(context.access, self._renderer, hours)

    async def start(self) -> None:
        """Begin."""
        for part in self._parts:
            await part.start()

    async def stop(self) -> None:
        """Stop the actions and the streams that run."""
        for part in reversed(self._parts):
            await part.stop()

    def routes(self) -> list[web.RouteDef]:
        """Return all routes, for the worker's web application."""
        guarded = self._serving.guarded
        routes = [route for page in self.pages for route in self._serving.page_routes(page)]
        routes += [self._serving.action_route(action) for action in self.actions]
        routes += [
            web.route(route.method, route.path, guarded(route.handler), **route.kwargs)
            for route in self._routes
        ]
        routes += [*self._serving.job_routes(), *self._static.routes()]
        routes.append(web.get("/api/openapi.json", guarded(self._describe)))
        routes += self._signing_in.routes()
        for path in ("/console", "/console/"):
            routes.append(web.get(path, self._go_to_first))
        # Behind all others: what nobody knows.
        for path in ("/console/{unknown:.+}", "/api/{unknown:.*}"):
            routes.append(web.route("*", path, guarded(_unknown(self.pages))))
        return routes

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        return answer_json(openapi(self.pages, self.actions))

    async def _go_to_first(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther(f"/console/{self.pages[0].path}")


def _unknown(pages: Sequence[Page]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in request.app.router.resources():
            if "{unknown" not in resource.canonical:
                allowed |= (await resource.resolve(request))[1]
        if allowed:
            taken = ", ".join(sorted(allowed))
            raise Refusal(
                405, f"{request.method} is not possible here.", f"Possible: {taken}.", allow=taken
            )
        names = ", ".join(page.path for page in pages if page.nav)
        raise Refusal(404, f"There is nothing at {request.path[:200]!r}.", f"There are: {names}.")

    return answer
