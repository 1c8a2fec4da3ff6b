"""One dead letter, from Kafka: what the index has no room for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.console.context import ConsoleContext
from trunkline.console.pages.audit import AuditRow, audit_row
from trunkline.console.pages.dead_letters.answers import MessageAnswer, MessageQuery, Neighbour
from trunkline.console.pages.dead_letters.finding import find_letter, surroundings
from trunkline.console.pages.records import (
    editable_text,
    payload_view,
    record_view,
    topic_href,
    why_not_editable,
)
from trunkline.console.pages.retries.rows import key_text
from trunkline.dead_letters.actions import Action
from trunkline.dead_letters.fingerprint import Fingerprint, topic_of
from trunkline.dead_letters.reading import DeadLetter
from trunkline.dead_letters.redrive import Guard
from trunkline.errors import BrokerError, DependencyDown

_NEIGHBOUR_BYTES = 400


async def show_message(context: ConsoleContext, query: MessageQuery) -> Mapping[str, Any]:
    """Return all that is known of a dead letter.

    Raises:
        ConfigurationError: It is no dead letter's id.
        Refusal: There is no such dead letter.
        BrokerError: Kafka is away.

    """
    letter, fingerprint, action = await find_letter(context, query.id)
    record = record_view(context, letter.key, letter.value, letter.headers, letter.left_out_bytes)
    verdict = Guard(context.topology).judge(letter, action)
    edit = editable_text(context, letter.value)
    answer = MessageAnswer(
        title=letter.id,
        id=letter.id,
        fingerprint=await _indexed(context, fingerprint),
        status=action.action if action else "open",
        acted=None if action is None else _acted(action),
        topic=topic_of(letter, context.topology),
        group=letter.group or "",
        exception=letter.exception,
        message=letter.message,
        stacktrace=letter.stacktrace,
        kind=letter.kind,
        place=fingerprint.place,
        attempts=letter.attempts,
        redrives=letter.redrives,
        first_failed_at_ms=letter.first_failed_at_ms,
        timestamp_ms=letter.timestamp_ms,
        source=letter.source,
        trace_id=letter.trace_id,
        details=letter.details,
        record=record,
        edit=edit,
        not_editable="" if edit else why_not_editable(letter.value, letter.left_out_bytes),
        origin=_origin(letter),
        refused=verdict.refused,
        around=await _around(context, letter),
        history=_history(context, letter),
    )
    return {name: getattr(answer, name) for name in answer.__struct_fields__}


async def _indexed(context: ConsoleContext, fingerprint: Fingerprint) -> str:
    """Return the fingerprint that the index has: it keeps the former one of what it knew before."""
    if context.dead_letters is None or fingerprint == fingerprint.former:
        return fingerprint.digest
    with contextlib.suppress(DependencyDown):
        if await context.dead_letters.fingerprint(fingerprint.digest) is None:
            return fingerprint.former.digest
    return fingerprint.digest


def _acted(action: Action) -> dict[str, object]:
    acted: dict[str, object] = {"at_ms": action.at_ms, "by": action.by, "to": action.to}
    return acted


def _origin(letter: DeadLetter) -> dict[str, object] | None:
    event = letter.origin
    if event is None:
        return None
    return {
        "id": str(event),
        "timestamp_ms": event.timestamp_ms,
        "href": topic_href(event.topic, event.partition, event.offset),
    }


async def _around(context: ConsoleContext, letter: DeadLetter) -> list[Neighbour]:
    event = letter.origin
    if event is None:
        return []
    try:
        records = await surroundings(context, event)
    except BrokerError:
        return []  # the dead letter itself is what matters
    return [
        Neighbour(
            record.offset,
            record.timestamp,
            key_text(record.key),
            payload_view((context.masking.payload(record.value) or b"")[:_NEIGHBOUR_BYTES])
            if record.value is not None
            else payload_view(None),
            record.offset == event.offset and record.timestamp == event.timestamp_ms,
            topic_href(record.topic, record.partition, record.offset),
        )
        for record in records
    ]


def _history(context: ConsoleContext, letter: DeadLetter) -> list[AuditRow]:
    if context.trail is None:
        return []
    # As it stands in JSON, with the quotation marks, lest …@1 is found in …@17.
    text = msgspec.json.encode(letter.id).decode()
    return [audit_row(entry) for entry in context.trail.trail.about(text)]
