"""Who sent a request: what the pages show, and what the audit trail keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiohttp import web


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request.

    Attributes:
        name: What they call themselves, ``""`` when they did not say. All share one token, so
            nothing proves it.
        how: What lets them in: ``loopback`` (no token is set, and they sit at this machine),
            ``token`` (bearer header), ``session`` (signed in), or ``open`` (no token is set, and
            the server is not on loopback: reading only). ``nobody`` has not signed in.
        address: Where it came from: the connection, or what trusted proxies say.

    """

    name: str
    how: Literal["loopback", "token", "session", "open", "nobody"]
    address: str

    @property
    def may_act(self) -> bool:
        """Whether they may change something."""
        return self.how in {"loopback", "token", "session"}

    def __str__(self) -> str:
        """Return who it was, for logs and the audit trail."""
        return f"{self.name or 'somebody'} ({self.how}, {self.address})"


#: Where the guard leaves the caller for the handlers.
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Return who sent the request; nobody when no guard has let them in."""
    return request.get(CALLER) or Caller("", "nobody", request.remote or "?")
