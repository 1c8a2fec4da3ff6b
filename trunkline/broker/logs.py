"""Read a node's log: its end, what is added to it, and why a start failed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_POLL_S = 0.2
#: What Kafka logs first, so that errors of an earlier run are not taken for this one's.
_FIRST_LINE = "Log4jController"


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file; none when it is not there."""
    try:
        with _open(path) as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def follow(path: Path, count: int) -> Iterator[str]:
    """Give the last ``count`` lines and then, for ever, each one that is added; rolling included.

    Raises:
        FileNotFoundError: There is no log (yet).

    """
    file = _open(path)
    try:
        unfinished = "".join(deque(file, maxlen=count))
        while True:
            *lines, unfinished = (unfinished + file.read()).split("\n")
            yield from lines
            if lines:
                continue
            if _was_rolled(path, file):
                file.close()
                file = _open(path)
            else:
                time.sleep(_POLL_S)
    finally:
        file.close()


def reasons(path: Path) -> list[str]:
    """Return the errors of the last run with their causes, without the stack frames."""
    lines = last_lines(path, 2000)
    begins = [i for i, line in enumerate(lines) if _FIRST_LINE in line]
    found: list[str] = []
    inside = False
    for line in lines[begins[-1] if begins else 0 :]:
        if line[:1].isdigit():  # a line with its time; the others belong to the one before
            inside = " ERROR " in line or " FATAL " in line
        if inside and not line.startswith("\t"):
            found.append(line)
    return found


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8", errors="replace")


def _was_rolled(path: Path, file: TextIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False  # between the rename and the new file: look again later
