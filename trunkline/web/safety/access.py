"""Who is let in, and what they may do: decided in one place, for every worker's web server.

| | reading | publishing (``/events``) | acting (the console, ``/api``) |
|---|---|---|---|
| a token is set | with it | with it | with it |
| no token, on loopback | yes | yes | yes |
| no token, elsewhere | yes | yes | no |

"On loopback" is the address that the server listens at and the name that the request asks for, and
no proxy in between. ``/health/*`` and ``/metrics`` are open: they hold numbers and names alone.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable

from aiohttp import web

from trunkline.errors import TrunklineError
from trunkline.settings import Settings
from trunkline.web.safety.caller import Caller
from trunkline.web.safety.hosts import client_address, host_name, is_loopback, was_forwarded
from trunkline.web.safety.limits import SignInLimits
from trunkline.web.safety.sessions import COOKIE, Session, Sessions

#: Says who one is, for the audit trail, where a token is sent instead of a session.
USER_HEADER = "X-Trunkline-User"
_MAX_NAME = 60


class TooManyTokensError(TrunklineError):
    """An address sent wrong tokens, and must wait.

    Attributes:
        wait_s: For how many seconds.

    """

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many wrong tokens came from your address: wait {wait_s} s.")
        self.wait_s = wait_s


class Access:
    """What the settings say about access.

    Args:
        settings: Token, address of the server, host names.
        clock: Unix seconds.
        limits: Else the usual ones.

    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        limits: SignInLimits | None = None,
    ) -> None:
        token = settings.http_token
        self._token = token.encode() if token else None
        self.sessions = Sessions(token, settings.sign_in_hours * 3600, clock) if token else None
        self.limits = limits or SignInLimits()
        self._is_bound_to_loopback = is_loopback(host_name(settings.web_host))
        self._proxies = [ipaddress.ip_network(text) for text in settings.trusted_proxies]
        self._hosts = frozenset(host_name(host) for host in settings.web_hosts)

    @property
    def needs_token(self) -> bool:
        """Whether a token is set."""
        return self._token is not None

    @property
    def is_open(self) -> bool:
        """Whether everybody may read: no token is set, and others reach the server."""
        return not self.needs_token and not self._is_bound_to_loopback

    def is_token(self, given: str) -> bool:
        """Return whether this is the token; takes as long for any other of its length."""
        # aiohttp gives bytes that are no UTF-8 as surrogates, which have no encoding of their own.
        raw = given.encode(errors="surrogatepass")
        return self._token is not None and hmac.compare_digest(raw, self._token)

    def knows_host(self, request: web.Request) -> bool:
        """Return whether the request asks for a name that this server has.

        A page of elsewhere can make a browser ask this server under a name of its own (DNS
        rebinding), and read the answers as if they were its own.
        """
        name = host_name(request.host)
        if name in self._hosts:
            return True
        if self._is_bound_to_loopback:
            return is_loopback(name)
        return not self._hosts or is_loopback(name)

    def caller(self, request: web.Request) -> Caller | None:
        """Return who sent a request, None when they must first show the token.

        Raises:
            TooManyTokensError: Wrong ones came from there.

        """
        address = self.address(request)
        name = clean_name(request.headers.get(USER_HEADER, ""))
        if self._token is None:
            return Caller(name, "loopback" if self._is_local(request) else "open", address)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return Caller(name, "token", address) if self._has_token(address, given) else None
        session = self.session(request)
        return Caller(session.name, "session", address) if session else None

    def address(self, request: web.Request) -> str:
        """Return where a request came from: its connection, or what trusted proxies say."""
        forwarded_for = request.headers.getall("X-Forwarded-For", ())
        return client_address(request.remote or "?", forwarded_for, self._proxies)

    def _has_token(self, address: str, given: str) -> bool:
        if wait_s := self.limits.token_wait_s(address):
            raise TooManyTokensError(wait_s)
        is_right = self.is_token(given.strip())
        if is_right:
            self.limits.token_was_right(address)
        else:
            self.limits.token_was_wrong(address)
        return is_right

    def session(self, request: web.Request) -> Session | None:
        """Return the session of the request's cookie."""
        cookie = request.cookies.get(COOKIE)
        return self.sessions.read(cookie) if self.sessions and cookie else None

    def _is_local(self, request: web.Request) -> bool:
        return (
            self._is_bound_to_loopback
            and is_loopback(host_name(request.host))
            and not was_forwarded(request.headers)
        )


def clean_name(name: str) -> str:
    """Return what somebody calls themselves, fit for logs and pages."""
    return "".join(c for c in name.strip()[:_MAX_NAME] if c.isprintable())
