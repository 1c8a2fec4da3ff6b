"""Questions and answers of the pages of the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from trunkline.console.pages.audit import AuditRow
from trunkline.console.pages.records import PayloadView, RecordView
from trunkline.dead_letters.index import FingerprintRow, LetterRow, Overview
from trunkline.dead_letters.runs import RunState

StatusWord = Literal["open", "redriven", "discarded", "any"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class GroupsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which fingerprints."""

    topic: str = ""
    group: str = ""
    status: StatusWord = "open"
    limit: Limit = 100


class GroupsAnswer(msgspec.Struct):
    """Fingerprints, last seen first.

    Attributes:
        overview: Counts of all dead letters.
        more: Whether there are more than the limit.
        runs: Redrives and discards of this process, the newest first.

    """

    asked: GroupsQuery
    overview: Overview
    fingerprints: Sequence[FingerprintRow]
    more: bool
    runs: list[RunState]
    topics: list[str]
    groups: list[str]


class GroupQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters of a fingerprint; ``after`` is the ``next`` of the page before."""

    status: StatusWord = "open"
    after: str = ""
    limit: Limit = 50


class GroupAnswer(msgspec.Struct):
    """Dead letters of one fingerprint, the newest first."""

    asked: GroupQuery
    title: str
    fingerprint: FingerprintRow
    letters: Sequence[LetterRow]
    next: str | None
    runs: list[RunState]


class MessageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letter: ``dlq.order.created[1]@17``."""

    id: str = ""


class Neighbour(msgspec.Struct):
    """A record beside the event in its topic."""

    offset: int
    at_ms: int
    key: str | None
    value: PayloadView
    is_event: bool
    href: str


class MessageAnswer(msgspec.Struct):
    """All that is known of a dead letter.

    Attributes:
        id: The dead letter's.
        fingerprint: Its fingerprint's digits.
        status: What became of it.
        acted: When, by whom, and where it went; None while it is open.
        record: The event.
        edit: The payload as it may be edited; None when it is no JSON object.
        not_editable: Why it cannot be, in words.
        origin: Which event it was, with the URL of its place; None when that is not told.
        refused: Why it cannot be redriven, "" when it can.
        around: What stands beside the event in its topic.
        history: What the audit trail says of it.

    """

    title: str
    id: str
    fingerprint: str
    status: str
    acted: dict[str, object] | None
    topic: str
    group: str
    exception: str
    message: str
    stacktrace: str
    kind: str
    place: str
    attempts: int | None
    redrives: int
    first_failed_at_ms: int | None
    timestamp_ms: int
    source: str
    trace_id: str | None
    details: Sequence[tuple[str, str]]
    record: RecordView
    edit: str | None
    not_editable: str
    origin: dict[str, object] | None
    refused: str
    around: list[Neighbour]
    history: list[AuditRow]
