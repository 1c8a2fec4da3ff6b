"""Lists of dead letters, from the index's database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trunkline.console.acting import needed
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.dead_letters.answers import GroupQuery, GroupsQuery, StatusWord
from trunkline.console.pages.retries.rows import class_name
from trunkline.console.refusals import Refusal
from trunkline.dead_letters.index import DeadLetterIndex, Place, Status
from trunkline.dead_letters.paging import after_token, place_after
from trunkline.dead_letters.runs import RunState
from trunkline.topology import Topology

_DIGEST = re.compile(r"[0-9a-f]{12}")
_RUNS = 5


async def list_groups(context: ConsoleContext, query: GroupsQuery) -> Mapping[str, Any]:
    """Return the fingerprints.

    Raises:
        DependencyDown: The index's database is away.

    """
    index = _index(context)
    topology = context.topology
    overview = await index.overview()
    rows = await index.fingerprints(
        topic=topology.plain_name(query.topic) or None,
        group=topology.plain_name(query.group) or None,
        status=_status(query.status),
        limit=query.limit + 1,
    )
    return {
        "asked": query,
        "overview": overview,
        "fingerprints": rows[: query.limit],
        "more": len(rows) > query.limit,
        "runs": runs_of(context),
        "topics": _topics(topology),
        "groups": [service.group for service in topology.services if service.group],
    }


async def list_letters(
    context: ConsoleContext, digest: str, query: GroupQuery
) -> Mapping[str, Any]:
    """Return the dead letters of a fingerprint.

    Raises:
        DependencyDown: The index's database is away.
        Refusal: There is no such fingerprint, or no such page.

    """
    index = _index(context)
    row = await index.fingerprint(digest) if _DIGEST.fullmatch(digest) else None
    if row is None:
        raise Refusal(
            404,
            f"No dead letter has the fingerprint {digest[:100]!r}.",
            "The list of dead letters has those that there are.",
        )
    letters = await index.letters(
        digest, status=_status(query.status), after=_after(query), limit=query.limit + 1
    )
    page = letters[: query.limit]
    last = page[-1] if len(letters) > query.limit else None
    return {
        "asked": query,
        "title": f"{class_name(row.exception) or 'Dead letters'} of {row.topic}",
        "fingerprint": row,
        "letters": page,
        "next": None if last is None else after_token(last),
        "runs": runs_of(context),
    }


def runs_of(context: ConsoleContext) -> list[RunState]:
    """Return the runs that go on, and the latest that have ended."""
    runs = [] if context.runs is None else context.runs.all()
    over = [run for run in runs if run.is_over]
    return [run for run in runs if not run.is_over] + over[:_RUNS]


def _index(context: ConsoleContext) -> DeadLetterIndex:
    return needed(context.dead_letters, "index of dead letters")


def _status(word: StatusWord) -> Status | None:
    return None if word == "any" else word


def _after(query: GroupQuery) -> Place | None:
    if not query.after:
        return None
    place = place_after(query.after)
    if place is None:
        raise Refusal(
            400,
            f"after={query.after[:100]!r} is no page.",
            "Give the 'next' of the page before, as it was.",
            "?after",
        )
    return place


def _topics(topology: Topology) -> list[str]:
    return list(dict.fromkeys(name for service in topology.services for name in service.reads))
