"""What older workers left in Kafka is read, and what is written today is what was agreed on."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from models.failures import (
    WIRE_VERSION,
    HeldKey,
    HeldRange,
    NewerFormatError,
    decode_entry,
    decode_held_range,
    encode,
)
from tests.support import wire
from tests.support.failing_partition import Failing
from tests.support.waiting import eventually
from trunkline.delivery import failure
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.producer_call import OutRecord

NEWEST = wire.versions()[-1]
RULE = "docs/upgrading.md says what to do when a format changes."


def fixtures(version):
    """Return a version's fixtures by name: each a record, and what it means."""
    found = {}
    for path in sorted((wire.FOLDER / version).glob("*.json")):
        kept = json.loads(path.read_text("utf-8"))
        headers = [(name, wire.as_bytes(value)) for name, value in kept["headers"]]
        key, value = wire.as_bytes(kept["key"]), wire.as_bytes(kept["value"])
        found[path.stem] = OutRecord(kept["topic"], value, key=key, headers=headers), kept["means"]
    return found


@pytest.mark.parametrize("version", wire.versions())
def test_reads_what_every_released_version_wrote(version):
    """Each field that was known then has the same value now; new ones may have come."""
    kept = fixtures(version)
    assert kept
    for name, (record, means) in kept.items():
        assert_has(wire.meaning(name, record), means, f"{version}/{name}")


def test_writes_what_the_newest_version_wrote():
    """A change of the format without a new fixture goes red."""
    kept, written = fixtures(NEWEST), wire.todays_records()
    assert set(kept) == set(written), RULE
    for name, record in written.items():
        before, _ = kept[name]
        now = record._replace(partition=None, timestamp_ms=None, headers=list(record.headers))
        assert now == before, f"{name} is not written as in {NEWEST}. {RULE}"


def assert_has(found, expected, where):
    """Compare what both have."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            assert key in found, f"{where}: {key} is not read any more"
            assert_has(found[key], value, f"{where}: {key}")
    else:
        assert found == expected, where


@pytest.mark.parametrize("more", [[], ["a field that came later"]])
def test_a_field_at_the_end_hurts_no_older_reader(more):
    """So one may be added, with a default, without a new version."""
    record, _ = fixtures(NEWEST)["retries.entry"]
    fields = msgspec.msgpack.decode(record.value)
    fields[-1] += more
    assert decode_entry(msgspec.msgpack.encode(fields + more)) == decode_entry(record.value)


def test_refuses_a_newer_format_instead_of_guessing():
    """Whether or not it looks like the one that is known."""
    record, _ = fixtures(NEWEST)["retries.entry"]
    fields = msgspec.msgpack.decode(record.value)
    for newer in ([WIRE_VERSION + 1, *fields[1:]], [WIRE_VERSION + 1, "all", "is", "different"]):
        with pytest.raises(NewerFormatError, match="Update this worker"):
            decode_entry(msgspec.msgpack.encode(newer))
    with pytest.raises(NewerFormatError):
        decode_held_range(encode(HeldRange(WIRE_VERSION + 1, 1, 1, 1, 1, blocks=True)))
    with pytest.raises(msgspec.MsgspecError):
        decode_held_range(b"\x92\xa1x\x02")


async def test_a_failure_record_of_a_newer_worker_is_waited_with_not_passed_over(
    caplog, monkeypatch
):
    """It is an event that was handed over; once this worker is updated, it is tried like others."""
    handled = []

    async def handle(event, context):
        handled.append(context.offset)

    failing = Failing(handle)
    context = failing.context(1, b"k")
    error = failure.Failure.of(RuntimeError("first"), "transient")
    newer = (failure.VERSION, str(WIRE_VERSION + 1).encode())
    failing.bring(context, [*failure.failure_headers(context, error, "g"), newer])
    failing.failed(2, b"other")
    await eventually(lambda: "Update this worker" in caplog.text)
    assert not handled
    assert failing.store.applied == -1
    await failing.crash()
    monkeypatch.setattr("trunkline.retries.records.WIRE_VERSION", WIRE_VERSION + 1)
    failing.start()
    await failing.settled()
    assert sorted(handled) == [1, 2]
    await failing.end()


async def test_a_hold_of_a_newer_worker_is_waited_with(caplog):
    """Without it the order of its key would be lost, so no partition is begun."""

    class Tail:
        topic = "g.held-keys"
        positions: dict[int, int] = {}  # noqa: RUF012  # one test, one tail

        async def open(self):
            return True

        async def poll(self):
            key = encode(HeldKey("hold", "t", 0, b"k"))
            value = encode(HeldRange(WIRE_VERSION + 1, 1, 1, 1, 1, blocks=True))
            return [wire._as_read(OutRecord("g.held-keys", value, key=key))]

        async def close(self):
            pass

    held = HeldKeys(Tail())
    await held.on_start()
    await eventually(lambda: "Update this worker" in caplog.text)
    assert not Tail.positions
    await asyncio.wait_for(held.on_stop(), 5)
