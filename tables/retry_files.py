"""The files of one partition of the retries table: a RocksDB folder on the pod.

They are a copy of what the changelog in Kafka says, never ahead of it: losing them is always
harmless. Beside the changelog's own keys they hold, written in the same batch as the data, up to
which offset it was applied, and when they were last known to be in step with it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from faust.stores.rocksdb import RocksDBOptions, Store
from rocksdict import BlockBasedOptions, Cache, WriteBatch, WriteBufferManager

from models.failures import EventId, entry_key, state_key
from tables.retry_staleness import Mark
from trunkline.errors import ConfigurationError, TrunklineError

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
#: Faust's defaults are for each partition 2 GiB of blocks and three write buffers of 64 MiB.
ROCKSDB_OPTIONS = {
    "write_buffer_size": 8 * MIB,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * MIB,
    "bloom_filter_size": 10,
}
#: What all partitions of a pod may hold in memory together: blocks that were read, and of that what
#: was written and is not in a file yet. Two write buffers for each partition would add up.
_BLOCKS = 32 * MIB
_WRITE_BUFFERS = 16 * MIB
#: Memory of a write buffer is taken in pieces of this size, be there little in it.
_PIECE = 64 * 1024
_OFFSET_KEY = Store.offset_key
_MARK_KEY = b"__trunkline\0files__"
#: Keys that are ours and not the changelog's begin so.
META_PREFIX = b"__"
#: Keys of entries and of states begin so; what follows says of which event, in both alike.
_ENTRIES, _STATES = (key(EventId("", 0, 0, 0))[:1] for key in (entry_key, state_key))
_LOCKED = ("While lock file", "lock hold by current process")


class FilesInUseError(ConfigurationError):
    """Another process has these files open."""


class UnreadableFilesError(TrunklineError):
    """What stands in the files cannot be read, or nothing can be written to them."""


class RetryOptions(RocksDBOptions):
    """Faust's options for RocksDB, and what its own list lacks; one for all partitions of a pod."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._blocks = Cache(_BLOCKS)
        self._buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            _WRITE_BUFFERS, False, self._blocks
        )

    @property
    def write_buffer_bytes(self) -> int:
        """What the write buffers of all partitions hold now."""
        return self._buffers.get_usage()

    def as_options(self) -> Any:
        """Return rocksdict's options."""
        options = super().as_options()
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=True)
        blocks.set_block_cache(self._blocks)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._buffers)
        options.set_arena_block_size(_PIECE)
        options.set_stats_persist_period_sec(0)  # a history of its counters, in memory
        options.set_keep_log_file_num(2)  # else one is kept for each of the last 1,000 starts
        return options


class RetryFiles:
    """RocksDB of one partition, open.

    Args:
        folder: Where it is; made when it is missing.
        options: How it is opened.

    Raises:
        FilesInUseError: Another process has it open.
        UnreadableFilesError: It cannot be made, read or written.

    """

    def __init__(self, folder: Path, options: RocksDBOptions) -> None:
        self.folder = folder
        self._options = options
        #: What cannot be read is not worth keeping; the changelog has it.
        self._broken = self._closed = False
        self.db = self._open()
        self.mark, self.offset = self._read_mark()

    def _open(self) -> Any:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            return self._options.open(self.folder)
        except Exception as error:
            self._raise_if_in_use(error)
            if not self.folder.exists():
                raise self._unusable(error) from error
            logger.warning("%s cannot be read (%s): starting from empty", self.folder, error)
        try:
            self._remove()
            return self._options.open(self.folder)
        except Exception as error:
            raise self._unusable(error) from error

    def _read_mark(self) -> tuple[Mark | None, int]:
        try:
            mark, offset = self.db.get(_MARK_KEY), self.db.get(_OFFSET_KEY)
            if offset is None:
                return None, -1
            return msgspec.msgpack.decode(mark, type=Mark) if mark else None, int(offset)
        except Exception as error:
            logger.warning("%s cannot be read (%s): starting from empty", self.folder, error)
            self.clear()
            return None, -1

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written to them."""
        return self.mark is None and self.offset == -1

    def clear(self) -> None:
        """Start from empty."""
        self.db.close()
        self._remove()
        self.db = self._open()
        self.mark, self.offset = None, -1

    def apply(self, records: Iterable[Any]) -> None:
        """Write records of the changelog, in its order, with the offset of the last one."""
        batch = WriteBatch(raw_mode=True)
        offset = self.offset
        for record in records:
            key, value, offset = record.key, record.value, record.offset
            if key is None or key.startswith(META_PREFIX):
                continue  # not ours, and a compacted topic takes no record without a key
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._write(batch, offset, self.mark)

    def commit(self, writes: dict[bytes, bytes | None], offset: int) -> None:
        """Write what stands in the changelog up to this offset by now: they are in step."""
        batch = WriteBatch(raw_mode=True)
        for key, value in writes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        topic_id = self.mark.topic_id if self.mark else ""
        self._write(batch, max(offset, self.offset), Mark.now(topic_id))

    def note_in_step(self, topic_id: str) -> None:
        """Note that all that stands in the changelog has been applied."""
        self._write(WriteBatch(raw_mode=True), self.offset, Mark.now(topic_id))

    def _write(self, batch: WriteBatch, offset: int, mark: Mark | None) -> None:
        batch.put(_OFFSET_KEY, str(offset).encode())
        if mark is not None:
            batch.put(_MARK_KEY, msgspec.msgpack.encode(mark))
        try:
            self.db.write(batch)
        except Exception as error:
            raise self._unusable(error) from error
        self.offset, self.mark = offset, mark

    def get(self, key: bytes) -> bytes | None:
        """Return the value of one of the changelog's keys.

        Raises:
            UnreadableFilesError: A file is damaged, or they are closed.

        """
        return self._read(self.db.get, key)

    def may_have(self, key: bytes) -> bool:
        """Return whether the key may be there; False only when it is certain that it is not."""
        return bool(self._read(self.db.key_may_exist, key))

    def entries(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Return the value of each entry, and of its state if one was written after it.

        What is written in the meantime does not show.
        """
        # Two walks side by side: entries and states are in the same order.
        entries = self._walk(_ENTRIES)
        states = self._walk(_STATES)
        event, state = next(states, (None, None))
        for key, value in entries:
            while event is not None and event < key:
                event, state = next(states, (None, None))
            yield value, state if event == key else None

    def _walk(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        items = self._read(self.db.items, False, prefix)

        def walk() -> Iterator[tuple[bytes, bytes]]:
            last = prefix
            while True:
                key, value = self._read(next, items, (b"", b""))
                if not key:
                    self._read(self._look_behind, last)
                if not key.startswith(prefix):
                    return
                last = key
                yield key[len(prefix) :], value

        return walk()

    def _look_behind(self, key: bytes) -> None:
        """Raise if there is more behind a key: rocksdict ends without a word at a damaged block."""
        cursor = self.db.iter()
        cursor.seek(key)
        if cursor.valid() and cursor.key() == key:
            cursor.next()
        cursor.status()

    def _read(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except Exception as error:
            self._broken = True
            raise self._unusable(error) from error

    def close(self) -> None:
        """Let go of the folder; removes it when it turned out to be damaged."""
        if self._closed:
            return
        self._closed = True
        self.db.close()
        if self._broken:
            logger.warning("%s is damaged, and removed: the changelog has it all", self.folder)
            self._remove()

    def _remove(self) -> None:
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        else:
            self.folder.unlink(missing_ok=True)

    def _raise_if_in_use(self, error: Exception) -> None:
        if any(words in str(error) for words in _LOCKED):
            raise FilesInUseError(
                f"{self.folder} is in use by another process: two pods have the same name and the "
                "same data folder. Give each its own TRUNKLINE_POD (or TRUNKLINE_DATA_DIR)."
            ) from error

    def _unusable(self, error: Exception) -> UnreadableFilesError:
        return UnreadableFilesError(
            f"The files of the retries table in {self.folder} cannot be used: {error}. Make sure "
            "that there is space and that it may be written; what stands in it may be deleted."
        )
