"""Redrive one dead letter with another payload.

The dead letter itself stays where it is, for ever, with the payload that failed; the audit trail
has the digests of both.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec

from trunkline.dead_letters.fingerprint import topic_of
from trunkline.dead_letters.scan import Found
from trunkline.dead_letters.sources import Candidate, OnRead
from trunkline.delivery.decode import decoder_for, explain
from trunkline.errors import InvalidEventError
from trunkline.topology import MAX_MESSAGE_BYTES, Topology


class EditedSource:
    """A dead letter with the payload that somebody gave it."""

    names_ids = True

    def __init__(self, found: Found, value: bytes) -> None:
        self._before = found.letter.value
        self._found = found._replace(letter=replace(found.letter, value=value))

    async def candidates(self, on_read: OnRead) -> AsyncGenerator[Candidate, None]:
        """Yield it."""
        on_read(1, 1)
        yield Candidate(self._found, self._found.letter.id)

    def to_dict(self) -> dict[str, Any]:
        """Return which one it is, and the digests of both payloads."""
        letter = self._found.letter
        return {
            "ids": [letter.id],
            "before": _digest(self._before),
            "after": _digest(letter.value),
        }


def check_edited(found: Found, value: bytes, topology: Topology) -> list[str]:
    """Return what is to be known before an edited event goes.

    Raises:
        InvalidEventError: It does not fit the topic's model; the message names the field.

    """
    if len(value) > MAX_MESSAGE_BYTES // 2:
        raise InvalidEventError(f"it has {len(value):,} bytes, which is too large for its topic")
    model = topology.topic(topic_of(found.letter, topology)).model
    try:
        event = msgspec.json.decode(value) if model is None else decoder_for(model)(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, value) from None
    notes = []
    if model is not None and event.key != found.letter.key:
        kept = (found.letter.key or b"null").decode(errors="replace")
        notes.append(
            f"Its key stays {kept!r}, though {model.key_field} is now {event.key.decode()!r}: "
            "it goes where the event was."
        )
    if value == found.letter.value:
        notes.append("The payload is unchanged.")
    return notes


def _digest(value: bytes | None) -> str:
    return "null" if value is None else f"sha256:{hashlib.sha256(value).hexdigest()[:16]}"
