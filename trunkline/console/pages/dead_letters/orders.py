"""What actions on dead letters are asked for, as the bodies of their requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import msgspec

from trunkline.console.refusals import Refusal
from trunkline.dead_letters.filters import LetterFilter, parse_filter
from trunkline.dead_letters.redrive import MAX_REDRIVES
from trunkline.topology import Topology


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters are meant; of different fields all must fit.

    Attributes:
        fingerprint: As the list shows it, or at least four digits of its beginning.
        topic: Name of the events' topic.
        group: Name of the group that failed them.
        error: Class of their error, qualified or short; ``*`` and ``?`` for any.
        key: The event's key as text.
        since: Failed since: ISO 8601, or ``2h``, ``3d``.
        until: Failed before.
        ids: As the list shows them.
        all: All open dead letters.

    """

    fingerprint: str = ""
    topic: str = ""
    group: str = ""
    error: str = ""
    key: str = ""
    since: str = ""
    until: str = ""
    ids: Sequence[str] = ()
    all: bool = False


class DiscardOrder(Words, forbid_unknown_fields=True):
    """Discard: how many at most."""

    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


class RedriveOrder(Words, forbid_unknown_fields=True):
    """Redrive.

    Attributes:
        rate: Most dead letters a second.
        limit: So many at most.
        max_redrives: Refuse those that were redriven so often,
        force: unless it is forced.

    """

    rate: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_redrives: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = MAX_REDRIVES
    force: bool = False


class EditOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Redrive one dead letter with another payload.

    Attributes:
        id: Which one.
        value: The payload, JSON as text.
        force: Also when it was redriven too often.

    """

    id: str
    value: str
    force: bool = False


class StopOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Stop a run; ``run`` is its number on the list."""

    run: int


def wanted_of(words: Words, topology: Topology) -> LetterFilter:
    """Return what is meant, as the command line's filter.

    Raises:
        ConfigurationError: A word means nothing.
        Refusal: Nothing was said.

    """
    wanted = parse_filter(
        topology,
        time.time_ns() // 1_000_000,
        topics=_given(words.topic),
        groups=_given(words.group),
        exceptions=_given(words.error),
        keys=_given(words.key),
        since=words.since or None,
        until=words.until or None,
        fingerprints=_given(words.fingerprint),
        ids=words.ids,
    )
    if wanted.is_empty and not words.all:
        raise Refusal(
            400, "Nothing was said about which dead letters.", "Give a filter, ids or all."
        )
    return wanted


def _given(word: str) -> list[str]:
    return [word] if word else []
