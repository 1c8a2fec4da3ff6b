"""Read a node's log as ``tail`` does, over Kafka's rolling of it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_POLL_S = 0.2


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file; none when it is not there."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(path: Path) -> Iterator[str]:
    """Give each line that is written from now on, for ever, also when the log is rolled."""
    file = path.open(encoding="utf-8", errors="replace")
    try:
        file.seek(0, os.SEEK_END)
        unfinished = ""
        while True:
            text = unfinished + file.read()
            *lines, unfinished = text.split("\n")
            yield from lines
            if not lines:
                if _was_replaced(path, file):
                    file.close()
                    file = path.open(encoding="utf-8", errors="replace")
                else:
                    time.sleep(_POLL_S)
    finally:
        file.close()


def _was_replaced(path: Path, file: TextIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False  # between the rename and the new file: look again later
