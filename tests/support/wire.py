"""Every record that workers leave in Kafka for each other, as the product writes and reads it.

    .venv/bin/python -m tests.support.wire 0.2.0    # keeps today's bytes as those of a version

A fixture is a record (key, value, headers; bytes that are no text in base64), and what a reader is
to make of it. ``docs/upgrading.md`` says when a new one is due.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from models.failures import (
    APPLIED_KEY,
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    HeldKey,
    HeldRange,
    RetryEntry,
    RetryState,
    decode_entry,
    decode_held_key,
    decode_held_range,
    decode_offset,
    decode_state,
    encode,
    entry_key,
    event_of,
    state_key,
)
from tables.retry_changes import writes_of
from trunkline.dead_letters.actions import Action, action_record, read_action
from trunkline.dead_letters.reading import read_dead_letter
from trunkline.dead_letters.redrive import redrive_record
from trunkline.delivery import failure
from trunkline.delivery.failure import Failure, failure_headers, parked_headers, place_headers
from trunkline.delivery.handler import Context
from trunkline.delivery.producer_call import OutRecord
from trunkline.retries.commands import command_record
from trunkline.retries.inspection import WaitingEvent
from trunkline.retries.records import dead_letter, entry_of, read_failure
from trunkline.retries.store import Changes
from trunkline.topology import Topology

FOLDER = Path(__file__).parents[1] / "fixtures" / "wire"

_AT_MS = 1_790_000_000_000
_EVENT = EventId("auth.registered", 2, 4711, _AT_MS)
_VALUE = '{"userId":"12345","email":"zoë@example.com"}'.encode()
_HEADERS = (("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), ("x-raw", b"\x00\xff"))
_CONTEXT = Context(*_EVENT, b"12345", _VALUE, (*_HEADERS, ("x-null", None)))
_GROUP = "db-server-group"
_FIRST = ErrorInfo("transient", "builtins.RuntimeError", "first é", "", _AT_MS + 10)
_LAST = ErrorInfo(
    "transient", "sqlalchemy.exc.IntegrityError", "last", "File …, line 7", _AT_MS + 9
)
_ERROR = Failure(*msgspec.structs.astuple(_LAST))
_STATE = RetryState(3, _AT_MS + 4_000, _FIRST, _LAST)


def _entry(state: RetryState, **more: Any) -> RetryEntry:
    fields = {
        "version": WIRE_VERSION,
        "id": _EVENT,
        "key": b"12345",
        "value": _VALUE,
        "headers": (*_HEADERS, ("x-null", None)),
        "held": True,
        "order": 17,
        "redrives": 1,
        "left_out_bytes": 0,
        "state": state,
    }
    return RetryEntry(**(fields | more))


def _failures() -> Iterator[tuple[str, OutRecord]]:
    """Yield what stands in ``<group>.failures``: events, and what is said about them."""
    topic, plain = f"{_GROUP}.failures", Topology("")

    def record(headers: Any, value: bytes | None = _VALUE) -> OutRecord:
        return OutRecord(topic, value, key=b"12345", headers=headers)

    failed = record([*failure_headers(_CONTEXT, _ERROR, _GROUP), (failure.HELD, b"1")])
    asked = [*place_headers(_CONTEXT, _GROUP), (failure.RECORD, failure.ASK.encode())]
    waiting = WaitingEvent(_GROUP, 1, _entry(_STATE))
    yield "failed", failed
    yield "failed-left-out", failure.without_payload(failed)
    yield "parked", record(parked_headers(_CONTEXT, _GROUP))
    yield "ask", record(asked, None)
    yield "now", command_record(plain, waiting, "now")
    yield "discard", command_record(plain, waiting, "discard")
    letter = dead_letter(_entry(_STATE), _GROUP, "dlq.auth.registered")
    yield "redriven", redrive_record(read_dead_letter(_as_read(letter)), topic)


def _held_keys() -> Iterator[tuple[str, OutRecord]]:
    """Yield what stands in ``<group>.held-keys``."""
    topic = f"{_GROUP}.held-keys"
    hold = HeldKey("hold", "auth.registered", 2, b"12345")
    alone = HeldKey("hold", "auth.registered", 2, None, 4711)
    held = HeldRange(WIRE_VERSION, 4711, 4720, _AT_MS, _AT_MS + 9, blocks=True)
    yield "hold", OutRecord(topic, encode(held), key=encode(hold))
    alone_held = msgspec.structs.replace(held, last=4711, last_timestamp_ms=_AT_MS, blocks=False)
    yield "hold-without-key", OutRecord(topic, encode(alone_held), key=encode(alone))
    yield "hold-gone", OutRecord(topic, None, key=encode(hold))
    yield "release", OutRecord(topic, encode(4720), key=encode(hold._replace(kind="release")))


def _retries() -> Iterator[tuple[str, OutRecord]]:
    """Yield what stands in the changelog of the retries table."""
    topic = f"{_GROUP}-retries-changelog"
    gone = RetryState(4, 0, _FIRST, _LAST, exhausted=True, discarded=True)
    changes = {
        "entry": Changes(entries=[_entry(_STATE)]),
        "entry-parked": Changes(
            entries=[_entry(RetryState(0, 0), key=None, value=None, headers=(), held=False)]
        ),
        "state": Changes(states={_EVENT: gone}),
        "applied": Changes(applied=4711),
    }
    for name, change in changes.items():
        [(key, value)] = writes_of(change, lambda _: False).items()
        yield name, OutRecord(topic, value, key=key)
    yield "gone", OutRecord(topic, None, key=entry_key(_EVENT))
    yield "state-gone", OutRecord(topic, None, key=state_key(_EVENT))


def _dead_letters() -> Iterator[tuple[str, OutRecord]]:
    """Yield dead letters."""
    left_out = _entry(_STATE, value=None, headers=(), left_out_bytes=3_000_000, redrives=0)
    followed = RetryState(0, 0, exhausted=True)
    for name, entry in (
        ("retried", _entry(_STATE)),
        ("left-out", left_out),
        ("followed", _entry(followed, redrives=0)),
    ):
        yield name, dead_letter(entry, _GROUP, "dlq.auth.registered")


def _actions() -> Iterator[tuple[str, OutRecord]]:
    """Yield what stands in ``<dlq group>.actions``."""
    topic, letter = "dlq-consumer-group.actions", "dlq.auth.registered[2]@17"
    to = f"{_GROUP}.failures"
    redriven = Action("redriven", _AT_MS + 99, _AT_MS, to=to, by="ops@host", run="r-1")
    yield "redriven", action_record(topic, letter, redriven)
    yield "discarded", action_record(topic, letter, Action("discarded", _AT_MS + 99, _AT_MS))
    yield "open-again", OutRecord(topic, None, key=letter.encode())


_WRITERS: dict[str, Callable[[], Iterator[tuple[str, OutRecord]]]] = {
    "failures": _failures,
    "held-keys": _held_keys,
    "retries": _retries,
    "dead-letters": _dead_letters,
    "dlq-actions": _actions,
}


def todays_records() -> dict[str, OutRecord]:
    """Return what the product writes today, by the name of the fixture."""
    return {
        f"{topic}.{name}": record for topic, write in _WRITERS.items() for name, record in write()
    }


def _as_read(record: OutRecord) -> Any:
    """Return a record as a consumer gives it."""
    return SimpleNamespace(
        topic=record.topic,
        partition=2,
        offset=17,
        timestamp=_AT_MS,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def _read_failures(record: Any) -> Any:
    read = read_failure(record)
    if read.kind in {failure.FAILED, failure.PARKED, failure.REDRIVEN}:
        return {"record": read._asdict(), "entry": entry_of(record, read, RetryState(0, 0))}
    return {"record": read._asdict()}


def _read_held_keys(record: Any) -> Any:
    key = decode_held_key(record.key)
    decode = decode_held_range if key.kind == "hold" else decode_offset
    return {"key": key._asdict(), "value": record.value and decode(record.value)}


def _read_retries(record: Any) -> Any:
    if record.key == APPLIED_KEY:
        return {"applied": decode_offset(record.value)}
    is_entry, event = event_of(record.key)
    decode: Callable[[bytes], Any] = decode_entry if is_entry else decode_state
    return {"is_entry": is_entry, "id": event, "value": record.value and decode(record.value)}


def _read_dead_letter(record: Any) -> Any:
    return asdict(read_dead_letter(record))


def _read_actions(record: Any) -> Any:
    return read_action(record.key, record.value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "failures": _read_failures,
    "held-keys": _read_held_keys,
    "retries": _read_retries,
    "dead-letters": _read_dead_letter,
    "dlq-actions": _read_actions,
}


def meaning(name: str, record: OutRecord) -> Any:
    """Return what the product reads today in a record, as plain JSON values."""
    read = _READERS[name.partition(".")[0]](_as_read(record))
    return json.loads(json.dumps(_plain(read)))


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, structs with the names of their fields."""
    if isinstance(value, bytes):
        return as_text(value)
    if isinstance(value, msgspec.Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def as_text(value: bytes | None) -> Any:
    """Return bytes as JSON can hold them; every byte comes back."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def as_bytes(text: Any) -> bytes | None:
    """Return what :func:`as_text` was given."""
    if text is None:
        return None
    return text.encode() if isinstance(text, str) else base64.b64decode(text["base64"])


def versions() -> list[str]:
    """Return the versions of which there are fixtures, oldest first."""
    found = [folder.name for folder in FOLDER.iterdir() if folder.is_dir()]
    return sorted(found, key=lambda name: [int(part) for part in name.split(".")])


def keep(version: str) -> None:
    """Keep today's bytes, and what is read in them, as those of a version."""
    folder = FOLDER / version
    folder.mkdir(parents=True)
    for name, record in todays_records().items():
        fixture = {
            "topic": record.topic,
            "key": as_text(record.key),
            "value": as_text(record.value),
            "headers": [[header, as_text(value)] for header, value in record.headers],
            "means": meaning(name, record),
        }
        text = json.dumps(fixture, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    keep(sys.argv[1])
