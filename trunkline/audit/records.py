"""Records of the audit topic: the wire contract.

The key is the action's id, the value a JSON object. An action has two records: ``begun``, which
Kafka has acknowledged before anything is done, and ``ended``, which it has acknowledged before the
result is told. An action without an end was interrupted with its process, or still runs.
"""

from __future__ import annotations

import getpass
import socket
from typing import Any, Literal

import msgspec

AUDIT_VERSION = 1

Via = Literal["cli", "console", "api"]
Phase = Literal["begun", "ended"]
Outcome = Literal["done", "interrupted", "failed"]

#: Ids that one record lists; beyond it says how many there were.
MAX_IDS = 100


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who acts.

    Attributes:
        name: The operating system's user on the command line; in the console ``token`` for who
            signed in with it, else ``loopback``. Never a secret.
        via: How.
        host: The host on which the command ran, or that serves the console.
        address: Where the request came from; ``""`` on the command line.

    """

    name: str
    via: Via
    host: str = ""
    address: str = ""

    def __str__(self) -> str:
        """Return it as ``user@host``, as the dead letters' actions have it."""
        return f"{self.name}@{self.address or self.host}"


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One record of the trail.

    Attributes:
        version: Of this format.
        id: The action's; its beginning and its end have the same.
        phase: Which of the two.
        at_ms: When (Unix time).
        actor: Who.
        action: What is done, such as ``retries.now`` or ``dlq.redrive``.
        what: To what: filters, ids, how.
        count: To how many; None when that is not known beforehand.
        outcome: What became of it; None at its beginning.
        result: Counts at its end.
        error: Why it failed or was interrupted; ``""`` when it was not.

    """

    version: int = AUDIT_VERSION
    id: str
    phase: Phase
    at_ms: int
    actor: Actor
    action: str
    what: dict[str, Any] = {}
    count: int | None = None
    outcome: Outcome | None = None
    result: dict[str, Any] = {}
    error: str = ""


_decoder = msgspec.json.Decoder(AuditRecord)


def read_audit(value: bytes | None) -> AuditRecord | None:
    """Return what a record of the audit topic says, None when it is none of ours."""
    if value is None:
        return None
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def operator() -> Actor:
    """Return who runs this process, as the command line's actor."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = "?"
    return Actor(name, "cli", socket.gethostname())


def listed(ids: list[str]) -> dict[str, Any]:
    """Return ids for :attr:`AuditRecord.what`, not too many of them."""
    if len(ids) <= MAX_IDS:
        return {"ids": ids}
    return {"ids": ids[:MAX_IDS], "more_ids": len(ids) - MAX_IDS}
