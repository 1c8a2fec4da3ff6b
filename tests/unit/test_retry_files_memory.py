"""RocksDB's memory is bounded for a pod, not for each of its failures partitions."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing

from tables.retry_files import MIB, ROCKSDB_OPTIONS, RetryFiles, RetryOptions

PARTITIONS = 40


def test_write_buffers_of_all_partitions_have_one_bound(tmp_path):
    """Each is written 2 MiB; with buffers of their own that would be held 40 times."""
    options = RetryOptions(**ROCKSDB_OPTIONS)
    with ExitStack() as stack:
        files = [
            stack.enter_context(closing(RetryFiles(tmp_path / str(number), options)))
            for number in range(PARTITIONS)
        ]
        held = []
        for written in range(64):
            for one in files:
                one.commit({b"\x01" + written.to_bytes(4, "big"): os.urandom(32 * 1024)}, written)
                held.append(options.write_buffer_bytes)
        assert max(held) > 4 * MIB, "nothing was held: the test shows nothing"
        assert max(held) <= 48 * MIB  # what is being flushed comes on top; without it, 80
        values = [one.get(b"\x01" + bytes(4)) for one in files]
        assert all(value is not None and len(value) == 32 * 1024 for value in values)
