"""Sessions of those who signed in: signed, not kept, so that any worker with the token takes them.

A session's cookie holds who it is, until when, and a signature made with a key that is derived from
the token: not the token. Another token ends all sessions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import msgspec

COOKIE = "trunkline_session"
_PURPOSE = b"trunkline console session v1"
#: A session cookie is far shorter; nothing longer is looked at.
_MAX_LENGTH = 1_000
_MAX_ENDED = 10_000


class Session(msgspec.Struct, frozen=True, array_like=True):
    """One sign-in.

    Attributes:
        id: Random, to tell it from others.
        name: Who it is, as they said.
        ends_at: When it ends (Unix seconds).

    """

    id: str
    name: str
    ends_at: float


class Sessions:
    """Makes sessions, and knows them again.

    Args:
        token: The token that signing in took.
        lifetime_s: How long a session is good for.
        clock: Unix seconds.

    """

    def __init__(
        self, token: str, lifetime_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = hmac.digest(token.encode(), _PURPOSE, "sha256")
        self.lifetime_s = lifetime_s
        self._clock = clock
        #: Id → when it would have ended: those who signed out, on this worker.
        self._ended: dict[str, float] = {}

    def begin(self, name: str) -> str:
        """Return the cookie's value for somebody who gave the right token."""
        session = Session(secrets.token_urlsafe(12), name, self._clock() + self.lifetime_s)
        body = _encode(msgspec.json.encode(session))
        return f"{body}.{_encode(self._sign(body))}"

    def read(self, cookie: str) -> Session | None:
        """Return the session that a cookie holds; None when it is none of ours, or over."""
        body, _, signature = cookie.partition(".")
        if len(cookie) > _MAX_LENGTH or not signature or not cookie.isascii():
            return None
        if not hmac.compare_digest(_encode(self._sign(body)), signature):
            return None
        try:
            session = msgspec.json.decode(_decode(body), type=Session)
        except (binascii.Error, msgspec.MsgspecError):
            return None
        if session.ends_at <= self._clock() or session.id in self._ended:
            return None
        return session

    def end(self, session: Session) -> None:
        """Take a session back before its time, on this worker."""
        now = self._clock()
        self._ended = {key: at for key, at in self._ended.items() if at > now}
        if len(self._ended) < _MAX_ENDED:
            self._ended[session.id] = session.ends_at

    def _sign(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
