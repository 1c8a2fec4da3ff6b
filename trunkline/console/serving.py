"""Turn pages and actions into routes: HTML, its JSON twin, and ``POST`` for actions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from trunkline.audit import AuditLog
from trunkline.console.acting import actor_of, needed
from trunkline.console.asking import asked, body_as, read_body
from trunkline.console.jobs import Job, Jobs
from trunkline.console.refusals import Refusal, refusal_of
from trunkline.console.registry import Action, Page
from trunkline.console.rendering import Renderer
from trunkline.web.safety.caller import Caller, caller_of

logger = logging.getLogger(__name__)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: An action that takes no longer is answered with its result, else with its job.
_ANSWER_WITHIN_S = 1.0


class Serving:
    """Makes the routes of pages and actions."""

    def __init__(self, renderer: Renderer, jobs: Jobs, audit: AuditLog | None) -> None:
        self._renderer = renderer
        self._jobs = jobs
        self._audit = audit

    def page_routes(self, page: Page) -> list[web.RouteDef]:
        """Return a page's two routes."""

        async def html(request: web.Request) -> web.StreamResponse:
            asked(request, page.query)
            return self._renderer.page(page, request, await page.data(request))

        async def json(request: web.Request) -> web.StreamResponse:
            asked(request, page.query)
            return answer_json(await page.data(request))

        return [
            web.get(f"/console/{page.path}", self.guarded(html)),
            web.get(f"/api/{page.path}", self.guarded(json)),
        ]

    def action_route(self, action: Action[Any]) -> web.RouteDef:
        """Return an action's route."""

        async def act(request: web.Request) -> web.StreamResponse:
            caller = caller_of(request)
            raw = await read_body(request, action.max_body_bytes)
            dry_run = raw.pop("dry_run", False)
            if not isinstance(dry_run, bool):
                raise Refusal(
                    400, "$.dry_run is neither true nor false.", "Correct it.", "$.dry_run"
                )
            body = body_as(raw, action.body)
            if dry_run:
                return answer_json({"preview": await action.preview(body, caller)})
            logger.info("%s: %s, by %s", action.path, action.title, caller)
            job = await self._jobs.run(
                action.title, lambda tell: action.perform(body, caller, tell), _ANSWER_WITHIN_S
            )
            return answer_json(job, status=self._jobs.status(job))

        return web.post(f"/api/{action.path}", self.guarded(act))

    def job_routes(self) -> list[web.RouteDef]:
        """Return the routes that tell of jobs, and stop them."""

        async def get(request: web.Request) -> web.StreamResponse:
            return answer_json(self._jobs.get(request.match_info["job"]))

        async def cancel(request: web.Request) -> web.StreamResponse:
            await read_body(request, 1024)
            job = self._jobs.get(request.match_info["job"])
            if job.state == "running":
                await self._stop(job, caller_of(request))
            return answer_json(job)

        return [
            web.get("/api/jobs/{job}", self.guarded(get)),
            web.post("/api/jobs/{job}/cancel", self.guarded(cancel)),
        ]

    async def _stop(self, job: Job, caller: Caller) -> None:
        audit = needed(self._audit, "audit trail")
        what = {"job": job.job, "title": job.title}
        async with audit.action(actor_of(caller), "job.stop", what):
            await self._jobs.cancel(job.job)

    def guarded(self, answer: Answer) -> Answer:
        """Answer errors in the same form: a page where a page was asked for, else JSON."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await answer(request)
            except web.HTTPRedirection:
                raise
            except Exception as error:
                refusal = refusal_of(error)
                if refusal is None:
                    logger.exception(
                        "%s %s failed in a way that nobody thought of", request.method, request.path
                    )
                    what = f"{request.path} failed by a mistake of ours."
                    refusal = Refusal(500, what, "See the log of this worker.")
                return self._refuse(request, refusal)

        return handle

    def _refuse(self, request: web.Request, refusal: Refusal) -> web.Response:
        if request.path.startswith("/console"):
            return self._renderer.refusal(request, refusal)
        response = answer_json(refusal.body(), status=refusal.status)
        response.headers.update(refusal.headers)
        return response


def answer_json(data: Any, status: int = 200) -> web.Response:
    """Return data as a JSON response."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(data),
        content_type="application/json",
        charset="utf-8",
    )
