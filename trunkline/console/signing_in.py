"""Sign in with the token, and out again."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from trunkline.console.rendering import Renderer
from trunkline.web.safety.access import Access, clean_name
from trunkline.web.safety.guard import SIGN_IN
from trunkline.web.safety.sessions import COOKIE

logger = logging.getLogger(__name__)

_MAX_FORM_BYTES = 8 * 1024
_FIRST = "/console"


class SigningIn:
    """The form, what it sends, and the way out."""

    def __init__(self, access: Access, renderer: Renderer, hours: float) -> None:
        self._access = access
        self._renderer = renderer
        self._hours = f"{hours:g}"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(SIGN_IN, self._form),
            web.post(SIGN_IN, self._sign_in),
            web.post("/console/sign-out", self._sign_out),
        ]

    async def _form(self, request: web.Request) -> web.Response:
        target = _local(request.query.get("next", ""))
        problem = "" if self._access.needs_token else "No token is set here: there is no need to."
        return self._show(request, target, problem, 200)

    async def _sign_in(self, request: web.Request) -> web.Response:
        form = await _read_form(request)
        target = _local(form.get("next", ""))
        address = self._access.address(request)
        wait_s = self._access.limits.wait_s(address)
        if wait_s:
            logger.warning("Too many tries to sign in, at last from %s", address)
            problem = f"Too many tries: wait {wait_s} s."
            response = self._show(request, target, problem, 429)
            response.headers["Retry-After"] = str(wait_s)
            return response
        sessions = self._access.sessions
        if sessions is None or not self._access.is_token(form.get("token", "")):
            logger.warning("Signing in from %s failed: wrong token", address)
            return self._show(request, target, "That is not the token.", 403)
        name = clean_name(form.get("name", ""))
        logger.info("%s signed in from %s", name or "Somebody", address)
        response = _go(target)
        response.set_cookie(
            COOKIE,
            sessions.begin(name),
            max_age=int(sessions.lifetime_s),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_secure(request),
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        session = self._access.session(request)
        if session is not None and self._access.sessions is not None:
            self._access.sessions.end(session)
        response = _go(SIGN_IN)
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return response

    def _show(self, request: web.Request, target: str, problem: str, status: int) -> web.Response:
        data = {"next": target, "problem": problem, "hours": self._hours}
        return self._renderer.sign_in(request, data, status)


async def _read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form; those of one that is too large, or of another kind, are none."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    raw = bytearray()
    async for part in request.content.iter_any():
        raw += part
        if len(raw) > _MAX_FORM_BYTES:
            return {}
    fields = parse_qs(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[0] for name, values in fields.items()}


def _local(target: str) -> str:
    """Return a path of the console, whatever was asked for: nobody is sent elsewhere."""
    parts = urlsplit(target)
    is_ours = parts.path == _FIRST or parts.path.startswith(f"{_FIRST}/")
    if parts.scheme or parts.netloc or not is_ours or "\\" in target or not target.isprintable():
        return _FIRST
    return _FIRST if parts.path.startswith(SIGN_IN) else target


def _go(target: str) -> web.Response:
    # 303: what was posted is asked for with GET from there.
    return web.Response(status=303, headers={"Location": target})


def _is_secure(request: web.Request) -> bool:
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
