"""What a set of changes to the retries table writes: to its changelog and its files alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from models.failures import APPLIED_KEY, RetryEntry, encode, keys_of, state_key
from trunkline.retries.store import Changes

#: Key to value; None is a tombstone.
Writes = dict[bytes, bytes | None]


def new_entries(changes: Changes) -> list[RetryEntry]:
    """Return the entries that will wait, with their newest states.

    An event that comes and goes in the same changes never needs to be written.
    """
    gone, states = set(changes.gone), changes.states
    return [
        replace(entry, state=states[entry.id]) if entry.id in states else entry
        for entry in changes.entries
        if entry.id not in gone
    ]


def writes_of(
    changes: Changes,
    may_have: Callable[[bytes], bool],
    entries: Sequence[RetryEntry] | None = None,
) -> Writes:
    """Return what has to be written.

    Args:
        changes: What happened.
        may_have: Whether a key may have been written before; False only when it is certain that
            it never was, so that there is nothing to delete.
        entries: What :func:`new_entries` says of the changes, if it was asked before.

    """
    writes: Writes = {}
    settled = set(changes.gone)
    for entry in new_entries(changes) if entries is None else entries:
        new, old_state = keys_of(entry.id)
        writes[new] = encode(entry)
        if may_have(old_state):  # it would replace the new entry's own
            writes[old_state] = None
        settled.add(entry.id)
    for event, state in changes.states.items():
        if event not in settled:
            writes[state_key(event)] = encode(state)
    for event in changes.gone:
        for key in keys_of(event):
            if may_have(key):
                writes[key] = None
    if changes.applied is not None:
        writes[APPLIED_KEY] = encode(changes.applied)
    return writes
