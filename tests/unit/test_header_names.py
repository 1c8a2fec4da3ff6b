"""Records with header names that are not UTF-8 are read, and nothing else changes."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from tests.support.foreign import ForeignRecord, batch_of
from trunkline.delivery.header_names import TolerantRecords, tolerate_any_header_name

GZIP = 1
PLAIN = ForeignRecord(b"k", b"v", [(b"name", b"x"), (b"\xc3\xa9", None), (b"", b"")])
NULLS = ForeignRecord(None, None)
BAD = ForeignRecord(b"k", b"\xff", [(b"ok", b"1"), (b"b\xffd", None), (b"\xed\xa0\x80", b"\xfe")])


def read(data):
    """Return what a fetcher would: key, value, headers and offset of each record."""
    records = TolerantRecords(data)
    found = []
    while records.has_next():
        batch = records.next_batch()
        seen = -1
        for record in batch:
            if record.offset > seen:  # as aiokafka's PartitionRecords does
                seen = record.offset
                found.append((record.key, record.value, list(record.headers), record.offset))
    return found


def stock(data):
    records = MemoryRecords(data)
    found = []
    while records.has_next():
        found += [(r.key, r.value, list(r.headers), r.offset) for r in records.next_batch()]
    return found


@pytest.mark.parametrize("codec", [0, GZIP])
def test_reads_good_records_as_aiokafka_does(codec):
    """Several batches, compressed or not: the same records in the same order."""
    data = batch_of([PLAIN, NULLS], codec) + batch_of([NULLS, PLAIN], codec)
    assert read(data) == stock(data)
    assert len(read(data)) == 4


@pytest.mark.parametrize("codec", [0, GZIP])
def test_reads_names_that_are_not_utf8(codec):
    """The bytes that cannot be decoded are escaped; key, value and the other headers stay."""
    data = batch_of([PLAIN, BAD, PLAIN, BAD], codec) + batch_of([PLAIN], codec)
    with pytest.raises(UnicodeDecodeError):
        stock(data)
    found = read(data)
    assert [offset for *_, offset in found] == [0, 1, 2, 3, 0]
    assert found[1][:3] == (
        b"k",
        b"\xff",
        [("ok", b"1"), ("b\\xffd", None), ("\\xed\\xa0\\x80", b"\xfe")],
    )
    assert found[0] == found[4]


def test_an_incomplete_last_batch_is_left_for_the_next_fetch():
    """A fetch response may end in the middle of a batch."""
    data = batch_of([BAD]) + batch_of([PLAIN])[:-3]
    assert [offset for *_, offset in read(data)] == [0]
    assert TolerantRecords(data).size_in_bytes() == len(data)


def test_every_consumer_of_the_process_uses_it(monkeypatch):
    """The fetcher of aiokafka makes our reader once it was told to."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    tolerate_any_header_name()
    assert fetcher.MemoryRecords is TolerantRecords
