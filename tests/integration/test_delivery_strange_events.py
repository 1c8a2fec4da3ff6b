"""Strange events on a topic: the bad ones are handed over as they are, none stops the others."""

from __future__ import annotations

import pytest

from tests.support.foreign import ForeignRecord, batch_of, send_batch
from tests.support.journal import event, journal_group
from tests.support.waiting import eventually
from trunkline.delivery import failure

pytestmark = pytest.mark.kafka

GZIP = 1
OK = event("user", "ok")
#: Arabic, an override of the direction of writing, and a character beyond 16 bits.
HOSTILE = "\u0645\u0633\u062a\u202e\U0001f980"
NESTED = b'{"userId": "u", "email": "ok@b", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

#: What the handler gets.
GOOD = {
    "plain": ForeignRecord(b"k", OK),
    "unknown fields": ForeignRecord(b"k", OK[:-1] + b', "plan": {"a": [1, null]}, "userid": 5}'),
    "900 kB value": ForeignRecord(b"k", OK[:-1] + b', "note": "%b"}' % (b"x" * 900_000)),
    "no key": ForeignRecord(None, OK),
    "empty key": ForeignRecord(b"", OK),
    "key with a line break and NUL": ForeignRecord(b"a\nb\0c", OK),
    "unknown headers": ForeignRecord(b"k", OK, [(b"x-trace", b"\xff\0"), (b"x-trace", b"2")]),
    "header with a null value": ForeignRecord(b"k", OK, [(b"nothing", None)]),
    "header without a name": ForeignRecord(b"k", OK, [(b"", b"")]),
    "header name that is not UTF-8": ForeignRecord(b"k", OK, [(b"b\xff\xfe", b"1")]),
    "10,000 headers": ForeignRecord(b"k", OK, [(b"h%d" % n, b"v") for n in range(10_000)]),
    "right-to-left and emoji": ForeignRecord(HOSTILE.encode(), event(HOSTILE, "ok")),
    "escaped NUL": ForeignRecord(b"k", b'{"userId": "a\\u0000b", "email": "ok@b"}'),
    "a field twice": ForeignRecord(b"k", b'{"userId": "a", "userId": "b", "email": "ok@b"}'),
    "white space around it": ForeignRecord(b"k", b" \r\n\t" + OK + b"\n"),
}

#: What goes to the failures topic, and the kind of failure.
BAD = {
    "undecodable key": (ForeignRecord(b"\xff\xfe", OK), "invalid"),
    "undecodable value": (ForeignRecord(b"k", b"\x00\x01\x02 not JSON"), "invalid"),
    "null value": (ForeignRecord(b"k", None), "invalid"),
    "null key and null value": (ForeignRecord(None, None), "invalid"),
    "empty value": (ForeignRecord(b"k", b""), "invalid"),
    "wrong types": (ForeignRecord(b"k", b'{"userId": 7, "email": ["a@b"]}'), "invalid"),
    "not an object": (ForeignRecord(b"k", b'["userId", "email"]'), "invalid"),
    "missing field": (ForeignRecord(b"k", b'{"userId": "u"}'), "invalid"),
    "empty id": (ForeignRecord(b"k", b'{"userId": "", "email": "a@b"}'), "invalid"),
    "two documents": (ForeignRecord(b"k", OK + OK), "invalid"),
    "NaN": (ForeignRecord(b"k", b'{"userId": NaN, "email": "a@b"}'), "invalid"),
    "a number without end": (ForeignRecord(b"k", b'{"userId": 1%b}' % (b"0" * 50_000)), "invalid"),
    "nested too deeply": (ForeignRecord(b"k", NESTED), "invalid"),
    "invalid UTF-8": (ForeignRecord(b"k", b'{"userId": "\xff\xfe", "email": "a@b"}'), "invalid"),
    "raw NUL": (ForeignRecord(b"k", b'{"userId": "a\0b", "email": "a@b"}'), "invalid"),
    "lone surrogate": (ForeignRecord(b"k", b'{"userId": "\\ud800", "email": "a@b"}'), "invalid"),
    "surrogates as bytes": (
        ForeignRecord(b"k", b'{"userId": "\xed\xa0\x80", "email": "a@b"}'),
        "invalid",
    ),
    "byte order mark": (ForeignRecord(b"k", b"\xef\xbb\xbf" + OK), "invalid"),
    "UTF-16": (ForeignRecord(b"k", OK.decode().encode("utf-16")), "invalid"),
    "900 kB that is bad": (ForeignRecord(b"k", b"x" * 900_000), "invalid"),
    "as large as the topic takes": (ForeignRecord(b"k", b"x" * 2_000_000), "invalid"),
    "bad, with strange headers": (
        ForeignRecord(b"k", b"bad", [(b"", None), (b"x", b"\xff"), (b"x", b"2")]),
        "invalid",
    ),
    "handler raises": (ForeignRecord(b"k", event("k", "fail")), "transient"),
    "handler says it is permanent": (ForeignRecord(b"k", event("k", "permanent")), "permanent"),
}


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"POD_CONCURRENCY": 1}, id="serial"),
        pytest.param({"POD_CONCURRENCY": 8}, id="keyed"),
        pytest.param({"POD_SHAPE": "batch"}, id="batch"),
    ],
)
async def test_strange_events_stop_nobody(kafka, namespace, tmp_path, shape):
    """Good ones are handled, bad ones arrive byte for byte with their origin, all is committed."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        offsets = {
            name: await send_batch(kafka, group.topic, 0, batch_of([record]))
            for name, record in {
                **GOOD,
                **{name: record for name, (record, _) in BAD.items()},
            }.items()
        }
        # All the small ones again, side by side in one batch and in one compressed.
        small = [r for r in [*GOOD.values(), *(r for r, _ in BAD.values())] if _size(r) < 30_000]
        for codec in (0, GZIP):
            await send_batch(kafka, group.topic, 0, batch_of(small, codec))
        pod = group.start(TRUNKLINE_RETRY_BACKOFF="fixed:0.05", **shape)
        await group.wait_committed(60)
        bad_small = sum(_size(record) < 30_000 for record, _ in BAD.values())
        await _wait_dead(group, len(BAD) + 2 * bad_small)

        handled = {offset for _, offset in group.ended()}
        dead = {_header(r, failure.OFFSET): r for r in await group.dead()}
        for name in GOOD:
            assert offsets[name] in handled, name
        for name, (record, kind) in BAD.items():
            found = dead.pop(str(offsets[name]))
            assert (found.key, found.value) == (record.key, record.value), name
            assert _header(found, failure.KIND) == kind, name
            assert _header(found, failure.TOPIC) == group.topic, name
            assert _header(found, failure.PARTITION) == "0", name
            assert _header(found, failure.GROUP) == group.group, name
            assert _header(found, failure.MESSAGE), name
            assert list(found.headers[: len(record.headers)]) == [
                (key.decode(), value) for key, value in record.headers
            ], name
        assert len(dead) == 2 * bad_small
        stats = await pod.stats()
        assert (stats["dead"], stats["lag"]) == (len(BAD) + 2 * bad_small, 0)


async def test_an_event_too_large_to_hand_over_stops_nobody(kafka, namespace, tmp_path):
    """Compressed it fits into its topic, but not into the failures topic: its origin does."""
    bomb = b"x" * 5_000_000
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        records = [ForeignRecord(b"k", OK), ForeignRecord(b"k", bomb), ForeignRecord(b"k", b"bad")]
        await send_batch(kafka, group.topic, 0, batch_of([*records, records[0]], GZIP))
        group.start()
        await group.wait_committed(60)

        await _wait_dead(group, 2)
        assert sorted(offset for _, offset in group.ended()) == [0, 3]
        too_large, bad = sorted(await group.dead(), key=lambda r: _header(r, failure.OFFSET))
        assert (bad.key, bad.value, _header(bad, failure.OFFSET)) == (b"k", b"bad", "2")
        assert (too_large.key, too_large.value) == (b"k", None)
        assert _header(too_large, failure.OFFSET) == "1"
        assert _header(too_large, failure.LEFT_OUT_BYTES) == str(len(bomb))


async def _wait_dead(group, count):
    async def dead():
        return len(await group.dead()) >= count

    await eventually(dead, 60, f"{count} dead letters")


def _size(record):
    return len(record.value or b"") + 10 * len(record.headers)


def _header(record, name):
    return dict(record.headers)[name].decode()
