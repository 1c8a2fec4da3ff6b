"""What actions have in common: who acts, and parts that may not be there."""

from __future__ import annotations

import socket
from typing import TypeVar

from trunkline.audit import Actor
from trunkline.console.refusals import Refusal
from trunkline.web.safety.caller import Caller

_Part = TypeVar("_Part")
#: What the audit trail calls who did not give a name. All share one token, so it proves nobody.
_NAMES = {"loopback": "loopback", "token": "token", "session": "token", "open": "?"}


def actor_of(caller: Caller) -> Actor:
    """Return who acts, for the audit trail."""
    return Actor(
        caller.name or _NAMES[caller.how],
        "api" if caller.how == "token" else "console",
        socket.gethostname(),
        caller.address,
    )


def needed(part: _Part | None, what: str) -> _Part:
    """Return a part of the context.

    Raises:
        Refusal: This worker does not have it.

    """
    if part is None:
        raise Refusal(503, f"This worker has no {what}.", "Ask the service console for it.")
    return part


def counted(count: int, thing: str) -> str:
    """Return ``1 event``, ``2,000 events``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
