r"""Read records whose header names are not UTF-8.

librdkafka sends any bytes as a header's name, and Kafka keeps them. aiokafka 0.14.0 raises
``UnicodeDecodeError`` while it reads such a record, drops what it had read of the batch, fetches it
again, and so on for ever: one record would stop its partition for good. Java's client replaces
what it cannot decode; so do we (``b"\xff"`` becomes ``\xff`` in four characters), and go on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

#: A record batch: base offset (8 bytes), length of what follows (4), epoch (4), format (1), …
_LENGTH_AT, _CONTENT_AT, _FORMAT_AT = 8, 12, 16
_FORMAT_WITH_HEADERS = 2


def tolerate_any_header_name() -> None:
    """Make all of this process's aiokafka consumers read such records; call it before they start.

    aiokafka has no hook for it: the name by which its fetcher knows the reader is replaced.
    """
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """The batches of a fetch response: aiokafka's own (fast) ones, each with a second reader."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return the size of all, an incomplete last batch included."""
        size: int = self._records.size_in_bytes()
        return size

    def has_next(self) -> bool:
        """Tell whether there is another complete batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        """Return the next batch, None behind the last."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        (length,) = struct.unpack_from(">i", self._data, self._at + _LENGTH_AT)
        raw = self._data[self._at : self._at + _CONTENT_AT + length]
        self._at += len(raw)
        return TolerantBatch(batch, raw) if raw[_FORMAT_AT] >= _FORMAT_WITH_HEADERS else batch


class TolerantBatch:
    """A batch that is read again, slowly and leniently, when the quick reader gives up."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def read_all(self) -> list[Any]:
        """Return all records at once."""
        try:
            return list(self._batch)
        except UnicodeDecodeError:
            return list(LenientBatch(self._raw))

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # From its beginning: the fetcher skips the offsets that it has had already.
            yield from LenientBatch(self._raw)


class LenientBatch(_DefaultRecordBatchPy):
    """aiokafka's reader in Python, which takes header names that are not UTF-8."""

    def _read_msg(self, decode_varint: Any = decode_varint) -> Any:
        length, start = decode_varint(self._buffer, self._pos)
        fields = _Fields(self._buffer, start)
        fields.varint()  # attributes, none of which is in use
        timestamp = self.first_timestamp + fields.varint()
        if self.timestamp_type == self.LOG_APPEND_TIME:
            timestamp = self.max_timestamp
        offset = self.base_offset + fields.varint()
        key, value = fields.blob(), fields.blob()
        headers = [
            ((fields.blob() or b"").decode(errors="backslashreplace"), fields.blob())
            for _ in range(fields.varint())
        ]
        if fields.at != start + length:
            raise CorruptRecordException(
                f"The record at offset {offset} says that it has {length} bytes, and it has "
                f"{fields.at - start}"
            )
        self._pos: int = fields.at
        return _DefaultRecordPy(offset, timestamp, self.timestamp_type, key, value, headers)


class _Fields:
    """Takes one field after the other out of a record."""

    def __init__(self, buffer: bytearray, at: int) -> None:
        self._buffer = buffer
        self.at = at

    def varint(self) -> int:
        value: int
        value, self.at = decode_varint(self._buffer, self.at)
        return value

    def blob(self) -> bytes | None:
        length = self.varint()
        if length < 0:
            return None
        found = bytes(self._buffer[self.at : self.at + length])
        self.at += length
        return found
