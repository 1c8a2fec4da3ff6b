"""How each attempt at each event goes: a pure function that handlers and oracle share."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple

#: One attempt and three retries (seed: MAX_RETRIES = 3).
MAX_ATTEMPTS = 4
#: Shares of all events of a group, and of all attempts.
HOPELESS = 0.02
PERMANENT = 0.01
TRANSIENT = 0.30

Verdict = Literal["ok", "transient", "permanent"]


class Place(NamedTuple):
    """Where an event stands: the plain name of its topic, so that a seed means the same twice."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Fate(NamedTuple):
    """How an event must end in a group.

    Attributes:
        handled: Whether its last attempt succeeds; else it must be a dead letter.
        attempts: How many attempts the handler sees; 0 for what cannot be decoded.
        kind: Of the failure that ends it; empty when it is handled.

    """

    handled: bool
    attempts: int
    kind: str = ""


#: The handler never sees it.
POISONED = Fate(handled=False, attempts=0, kind="invalid")


def chance(*parts: object) -> float:
    """Return a number in [0, 1) that is always the same for the same parts."""
    text = "|".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=6).digest()) / 2**48


def verdict(seed: int, group: str, place: Place, attempt: int) -> Verdict:
    """Return how one attempt goes."""
    luck = chance(seed, group, *place)
    if luck < HOPELESS or chance(seed, group, *place, attempt) < TRANSIENT:
        return "transient"
    return "permanent" if luck < HOPELESS + PERMANENT else "ok"


def fate(seed: int, group: str, place: Place) -> Fate:
    """Return how an event that can be decoded ends."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        now = verdict(seed, group, place, attempt)
        if now != "transient":
            return Fate(now == "ok", attempt, "" if now == "ok" else now)
    return Fate(handled=False, attempts=MAX_ATTEMPTS, kind="transient")
