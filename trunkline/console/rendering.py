"""Templates to HTML: Jinja2, everything escaped, nothing undefined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import jinja2
import msgspec
from aiohttp import web

from trunkline.console.formats import FILTERS
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Page
from trunkline.console.sparklines import sparkline
from trunkline.console.static_files import StaticFiles
from trunkline.web.safety.caller import caller_of


class Renderer:
    """Makes the HTML of pages.

    Args:
        pages: All of them, for the navigation.
        static: CSS and JavaScript.
        shared: What every template may use besides its page's data.

    """

    def __init__(
        self, pages: Sequence[Page], static: StaticFiles, shared: Mapping[str, Any]
    ) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("trunkline.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        )
        self._environment.filters.update(FILTERS)
        self._environment.filters["json"] = _json
        self._environment.globals.update(
            static=static.url,
            nav=[page for page in pages if page.nav],
            sparkline=sparkline,
            **shared,
        )

    def page(self, page: Page, request: web.Request, data: Mapping[str, Any]) -> web.Response:
        """Return a page with its data."""
        return self._html(200, page.template, request, data, page=page, title=page.title)

    def refusal(self, request: web.Request, refusal: Refusal) -> web.Response:
        """Return the page that says what went wrong."""
        return self._html(
            refusal.status, "refused.html", request, {"refusal": refusal}, title="Not shown"
        )

    def sign_in(
        self, request: web.Request, data: Mapping[str, Any], status: int = 200
    ) -> web.Response:
        """Return the page with the sign-in form."""
        return self._html(status, "sign_in.html", request, data, title="Sign in")

    def _html(
        self,
        status: int,
        template: str,
        request: web.Request,
        data: Mapping[str, Any],
        *,
        page: Page | None = None,
        title: str = "",
    ) -> web.Response:
        text = self._environment.get_template(template).render(
            # A page's own title, such as a topic's name, goes before the registered one.
            **{"title": title, **data},
            page=page,
            url=_UrlOf(request),
            caller=caller_of(request),
        )
        return web.Response(status=status, text=text, content_type="text/html")


class _UrlOf:
    """The URL of the request that is answered, and the same with other parameters."""

    def __init__(self, request: web.Request) -> None:
        self.path = request.path
        self._query = dict(request.query)
        self.full = self.changed()
        self.api = self.full.replace("/console/", "/api/", 1)

    def changed(self, **parameters: object) -> str:
        """Return it with parameters set; those that are None or empty are taken out."""
        merged = {**self._query, **parameters}
        kept = {name: str(value) for name, value in merged.items() if value not in (None, "")}
        return f"{self.path}?{urlencode(kept)}" if kept else self.path


def _json(value: Any) -> str:
    """Return data as JSON for a ``data-`` attribute; Jinja escapes it."""
    return json.dumps(msgspec.to_builtins(value))
