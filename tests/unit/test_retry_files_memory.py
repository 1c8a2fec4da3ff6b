"""RocksDB's memory is bounded for a pod, not for each of its failures partitions."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing

from tables.retry_files import MIB, ROCKSDB_OPTIONS, RetryFiles, RetryOptions

PARTITIONS = 40
PATIENCE_S = 30.0


def settled_bytes(options: RetryOptions) -> int:
    """Return what is held when what is being flushed has been; that is done in other threads."""
    until = time.monotonic() + PATIENCE_S
    while (held := options.write_buffer_bytes) > 20 * MIB and time.monotonic() < until:
        time.sleep(0.01)
    return held


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
            held.append(settled_bytes(options))
        assert max(held) > 4 * MIB, "nothing was held: the test shows nothing"
        assert max(held) <= 20 * MIB
        values = [one.get(b"\x01" + bytes(4)) for one in files]
        assert all(value is not None and len(value) == 32 * 1024 for value in values)
