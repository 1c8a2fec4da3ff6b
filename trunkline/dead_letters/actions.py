"""What was done with a dead letter: records of the compacted ``<dlq group>.actions`` topic.

The key is the dead letter's id, the value a JSON object. Whoever writes one does so in a
transaction of the one transactional id :data:`TRANSACTIONAL_ID`, together with what was done: then
nobody can do it a second time.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from trunkline.dead_letters.reading import DeadLetter
from trunkline.delivery.producer_call import OutRecord

#: Plain name of the transactional id; put the namespace before it.
TRANSACTIONAL_ID = "dlq.redrive"

Kind = Literal["redriven", "discarded"]


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done with one dead letter.

    Attributes:
        action: What.
        at_ms: When (Unix time).
        timestamp_ms: The dead letter's timestamp. A topic that was made anew counts its offsets
            from 0 again: an action on an earlier record with the same id is none on this one.
        to: Real name of the failures topic to which it went; ``""`` when it was discarded.
        by: Who did it, ``user@host``.
        run: Which run of the command; all its actions have the same.

    """

    action: Kind
    at_ms: int
    timestamp_ms: int
    to: str = ""
    by: str = ""
    run: str = ""

    def concerns(self, timestamp_ms: int) -> bool:
        """Return whether it was done with the dead letter that has this timestamp."""
        return self.timestamp_ms == timestamp_ms


_decoder = msgspec.json.Decoder(Action)


def action_record(topic: str, letter_id: str, action: Action) -> OutRecord:
    """Return the record that notes an action in the actions topic."""
    return OutRecord(topic, msgspec.json.encode(action), key=letter_id.encode())


def read_action(key: bytes | None, value: bytes | None) -> tuple[str, Action | None] | None:
    """Return a dead letter's id, and what was done with it (None: nothing, it is open again).

    A record that is none of ours says nothing: the whole is None.
    """
    if key is None:
        return None
    letter_id = key.decode(errors="replace")
    if value is None:
        return letter_id, None
    try:
        return letter_id, _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


class Actions:
    """All actions, by the id of their dead letter."""

    def __init__(self) -> None:
        self._by_id: dict[str, Action] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def note(self, letter_id: str, action: Action | None) -> None:
        """Take an action in; the latest one counts, None takes it back."""
        if action is None:
            self._by_id.pop(letter_id, None)
        else:
            self._by_id[letter_id] = action

    def on(self, letter_id: str, timestamp_ms: int) -> Action | None:
        """Return what was done with the dead letter that has this id and timestamp."""
        action = self._by_id.get(letter_id)
        return action if action is not None and action.concerns(timestamp_ms) else None

    def on_letter(self, letter: DeadLetter) -> Action | None:
        """Return what was done with a dead letter, None while it is open."""
        return self.on(letter.id, letter.timestamp_ms)
