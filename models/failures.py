"""What is remembered of failed events: the wire contract of the retries and of the held keys.

Values and keys are MessagePack maps and arrays with a version in front, so that a later release can
read what an earlier one wrote. The failed records themselves (``<group>.failures``,
``dlq.<topic>``) stay plain Kafka records whose origin and error stand in headers; see
``trunkline/delivery/failure.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: Of the formats here. Fields may be added at the end of a struct, with a default, without a new
#: one: older readers pass them over. Anything else needs a new one (docs/upgrading.md).
WIRE_VERSION = 1


class NewerFormatError(Exception):
    """A newer Trunkline wrote this, in a format that this one cannot read: never guess at it."""

    def __init__(self, what: str, version: int) -> None:
        super().__init__(
            f"{what} has version {version} of its format, and this worker reads up to "
            f"{WIRE_VERSION}: a newer one of its group wrote it. Update this worker; until then "
            "what depends on it waits, and nothing is lost."
        )


class EventId(NamedTuple):
    """Which event: two equal events have two ids.

    Attributes:
        topic: Real name of the topic that it was published to.
        partition: Its partition there.
        offset: Its offset there.
        timestamp_ms: Its record's timestamp; a topic that was made anew counts from 0 again.

    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        """Return the place as people and the command line write it: ``topic[0]@42``."""
        return f"{self.topic}[{self.partition}]@{self.offset}"


class ErrorInfo(msgspec.Struct, frozen=True, array_like=True):
    """Why one attempt failed.

    Attributes:
        kind: ``invalid``, ``permanent`` or ``transient``.
        exception: Qualified name of the exception's class.
        message: What it said, cut.
        stacktrace: Where it was raised, cut; empty in the first error once there is a later one.
        at_ms: When.

    """

    kind: str
    exception: str
    message: str
    stacktrace: str
    at_ms: int


class RetryState(msgspec.Struct, frozen=True, array_like=True):
    """What changes about a waiting event with every attempt.

    Attributes:
        attempts: How many attempts have failed; 0 for one that is parked behind its key.
        due_at_ms: When the next attempt may begin (Unix time); 0 is at once.
        first_error: The first attempt's error, None when there was none.
        last_error: The last one's.
        exhausted: No attempts are left: it waits to become a dead letter.
        discarded: An operator discarded it: it goes when its turn comes.

    """

    attempts: int
    due_at_ms: int
    first_error: ErrorInfo | None = None
    last_error: ErrorInfo | None = None
    exhausted: bool = False
    discarded: bool = False


class RetryEntry(msgspec.Struct, frozen=True, array_like=True):
    """An event that waits in a group's retries table, with the record itself.

    Attributes:
        version: Of this format.
        id: The event.
        key: The record's key, byte for byte.
        value: Its value, None for a tombstone.
        headers: Its headers as they were published.
        held: Whether its key is held back at the source until this event is through; such events of
            one key are tried in the order in which they were handed over.
        order: Offset in the failures topic: the order of handing over.
        redrives: How often it was redriven from dead letters.
        left_out_bytes: Size of a payload that was too large to be handed over, else 0.
        state: What changes.

    """

    version: int
    id: EventId
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    held: bool
    order: int
    redrives: int
    left_out_bytes: int
    state: RetryState


class HeldRange(msgspec.Struct, frozen=True, array_like=True):
    """Which events of a key a source partition's worker has settled and not committed past.

    Every event of the key from ``first`` to ``last`` (offsets) was handed over or handled: if one
    of them is delivered again, it is passed over. The timestamps (the lowest and the highest) keep
    a topic that was made anew from being taken for the old one.

    Attributes:
        version: Of this format.
        blocks: Whether the key's later events must be parked until ``last`` is released.

    """

    version: int
    first: int
    last: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    blocks: bool


class HeldKey(NamedTuple):
    """Key of a record in ``<group>.held-keys``.

    Attributes:
        kind: ``hold`` (written by the source partition's worker; the value is a
            :class:`HeldRange`), or ``release`` (written by the failures partition's worker; the
            value is the offset up to which the key's lane is empty).
        topic: Source topic.
        partition: Source partition.
        key: The event's key; None for an event that holds nobody (no key, or an unordered topic).
        offset: Of that event; -1 when there is a key.

    """

    kind: str
    topic: str
    partition: int
    key: bytes | None
    offset: int = -1


_encode = msgspec.msgpack.Encoder().encode

#: Keys of the retries table's changelog: a letter, then for which event.
_ENTRY, _STATE = b"e", b"s"
#: The changelog's record that says up to which offset the failures topic was applied.
APPLIED_KEY = b"applied"


def encode(value: RetryEntry | RetryState | HeldRange | HeldKey | int) -> bytes:
    """Return the wire form of a key or a value."""
    return _encode(value)


def entry_key(event: EventId) -> bytes:
    """Return the changelog's key of a waiting event: the value is its :class:`RetryEntry`."""
    return _ENTRY + _encode(event)


def state_key(event: EventId) -> bytes:
    """Return the key of its newest :class:`RetryState`, which replaces the one in the entry."""
    return _STATE + _encode(event)


def keys_of(event: EventId) -> tuple[bytes, bytes]:
    """Return both keys of an event, the entry's and the state's."""
    raw = _encode(event)
    return _ENTRY + raw, _STATE + raw


_decode_id = msgspec.msgpack.Decoder(EventId).decode
_decode_entry = msgspec.msgpack.Decoder(RetryEntry).decode
_decode_held_range = msgspec.msgpack.Decoder(HeldRange).decode
decode_state = msgspec.msgpack.Decoder(RetryState).decode
decode_held_key = msgspec.msgpack.Decoder(HeldKey).decode
decode_offset = msgspec.msgpack.Decoder(int).decode


def event_of(changelog_key: bytes) -> tuple[bool, EventId]:
    """Return whether a changelog key stands for an entry (else for a state), and of which event."""
    return changelog_key[:1] == _ENTRY, _decode_id(changelog_key[1:])


def decode_entry(raw: bytes) -> RetryEntry:
    """Return an entry of the retries table.

    Raises:
        NewerFormatError: A newer Trunkline wrote it.
        msgspec.MsgspecError: It is none.

    """
    try:
        entry = _decode_entry(raw)
    except msgspec.MsgspecError:
        _check_version("An entry of the retries table", raw)
        raise
    if entry.version > WIRE_VERSION:
        raise NewerFormatError("An entry of the retries table", entry.version)
    return entry


def decode_held_range(raw: bytes) -> HeldRange:
    """Return a hold; raises as :func:`decode_entry`."""
    try:
        held = _decode_held_range(raw)
    except msgspec.MsgspecError:
        _check_version("A hold", raw)
        raise
    if held.version > WIRE_VERSION:
        raise NewerFormatError("A hold", held.version)
    return held


def _check_version(what: str, raw: bytes) -> None:
    """Raise when what cannot be decoded begins with a newer version."""
    fields = msgspec.msgpack.decode(raw)
    if isinstance(fields, list) and fields and type(fields[0]) is int and fields[0] > WIRE_VERSION:
        raise NewerFormatError(what, fields[0])
