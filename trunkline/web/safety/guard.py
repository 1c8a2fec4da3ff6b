"""What stands before every handler of a worker's web server, and what goes with every answer.

secure(web_app, Access(settings))
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

import msgspec
from aiohttp import web

from trunkline.web.safety.access import Access, TooManyTokensError
from trunkline.web.safety.caller import CALLER
from trunkline.web.safety.sessions import COOKIE

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SIGN_IN = "/console/sign-in"
#: Open to all: probes and scrapers, which may send any Host. Numbers and names, nothing else.
_OPEN = frozenset({"/health/live", "/health/ready", "/metrics"})
#: What signing in needs before one has.
_BEFORE_SIGN_IN = (SIGN_IN, "/console/static/")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Scripts, styles and everything else from this server alone, and none within a page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def secure(application: web.Application, access: Access) -> None:
    """Put the guard before all of an application's handlers, and the headers on all its answers."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refused = _refused(access, request)
        except TooManyTokensError as error:
            refused = _too_many(error)
        return refused or await handler(request)

    if access.is_open:
        logger.warning(
            "This web server is not on loopback, and no token is set: whoever reaches it reads "
            "payloads; actions are refused. Set TRUNKLINE_TOKEN."
        )
    # First of all: nothing of ours has looked at the request yet.
    application.middlewares.insert(0, guard)
    application.on_response_prepare.append(_add_headers)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "trunkline"  # aiohttp has put its own version there


def _refused(access: Access, request: web.Request) -> web.Response | None:
    """Return what to answer instead of handling the request; leave the caller in it otherwise."""
    if request.path in _OPEN:
        return None
    if not access.knows_host(request):
        return _refusal(
            421,
            f"This server is not {request.host[:100]!r}. Ask for it by its own name, or add that "
            "name to TRUNKLINE_WEB_HOSTS.",
        )
    if request.method not in _SAFE_METHODS and not _is_from_here(request):
        return _refusal(403, "Requests that other web sites send are refused: nothing was done.")
    caller = access.caller(request)
    if caller is None:
        return None if request.path.startswith(_BEFORE_SIGN_IN) else _unknown_caller(request)
    request[CALLER] = caller
    if is_action(request) and not caller.may_act:
        return _refusal(
            403,
            "This server is read-only: it is not on loopback, and no token is set. Set "
            "TRUNKLINE_TOKEN on it, and send that with the request. Nothing was done.",
        )
    return None


def is_action(request: web.Request) -> bool:
    """Return whether a request would change the system; publishing events is no action."""
    return request.method not in _SAFE_METHODS and not request.path.startswith(("/events", SIGN_IN))


def _is_from_here(request: web.Request) -> bool:
    """Return whether the request comes from a page of this server, or from no page at all."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return False
    if origin is not None:
        try:
            return urlsplit(origin).netloc == request.host
        except ValueError:  # no URL at all, such as "http://["
            return False
    # Every browser that has our cookie sends one of the two; what sends none is none.
    return site is not None or COOKIE not in request.cookies


def _unknown_caller(request: web.Request) -> web.Response:
    if request.method == "GET" and request.path.startswith("/console"):
        return _to_sign_in(request)
    has_token = "Authorization" in request.headers
    what = "The token is wrong." if has_token else "A token is needed."
    response = _refusal(
        401,
        f"{what} Send 'Authorization: Bearer <token>' with what TRUNKLINE_TOKEN is set to on this "
        "server. Nothing was done.",
    )
    response.headers["WWW-Authenticate"] = 'Bearer realm="trunkline"'
    return response


def _too_many(error: TooManyTokensError) -> web.Response:
    response = _refusal(429, f"{error} Nothing was done.")
    response.headers["Retry-After"] = str(error.wait_s)
    return response


def _to_sign_in(request: web.Request) -> web.Response:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link from elsewhere comes without our (strict) cookie; asked again from here, with it.
        page = '<!doctype html><meta http-equiv="refresh" content="0"><title>Trunkline</title>'
        return web.Response(text=page, content_type="text/html")
    target = quote(request.path_qs, safe="", errors="surrogatepass")
    return web.Response(status=303, headers={"Location": f"{SIGN_IN}?next={target}"})


def _refusal(status: int, message: str) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode({"error": {"message": message}}),
        content_type="application/json",
        charset="utf-8",
    )
