"""What handlers did, a line for each start and end of an attempt; it survives ``kill -9``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.chaos.fates import Place

#: An attempt starts; what ended it: it succeeded, it failed as it was told, its batch is taken
#: apart, it was cancelled, or something failed that was not told to.
START, END, FAILED, REDO, CANCELLED, BROKE = "start", "end", "failed", "redo", "cancelled", "broke"


class Line(NamedTuple):
    """One line of a journal; the clock is the same for all processes of the machine."""

    pod: str
    pid: int
    what: str
    at_ns: int
    place: Place
    timestamp_ms: int
    attempt: int
    key: str

    def __str__(self) -> str:
        return (
            f"{self.at_ns / 1e9:.4f} {self.pod}/{self.pid} {self.what} {self.place} "
            f"attempt {self.attempt} key {self.key}"
        )


class JournalFile:
    """Written by one pod: a system call a line."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._pid = os.getpid()

    def write(self, what: str, place: Place, timestamp_ms: int, attempt: int, key: str) -> None:
        """Append a line."""
        line = (
            f"{self._pid} {what} {time.monotonic_ns()} {place.topic} {place.partition} "
            f"{place.offset} {timestamp_ms} {attempt} {key}\n"
        )
        os.write(self._file, line.encode())


def shown(key: bytes | None) -> str:
    """Return a key as the journals have it."""
    return "-" if key is None else ascii(key.decode(errors="backslashreplace"))[1:-1]


def read_journals(folder: Path, group: str) -> list[Line]:
    """Return what all pods of a group wrote, in the order of time."""
    lines = [line for file in folder.glob(f"{group}-*.journal") for line in _parse(file)]
    return sorted(lines, key=lambda line: line.at_ns)


def _parse(file: Path) -> Iterator[Line]:
    text = file.read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():
        pid, what, at_ns, topic, partition, offset, timestamp_ms, attempt, key = line.split(" ", 8)
        place = Place(topic, int(partition), int(offset))
        yield Line(
            file.stem, int(pid), what, int(at_ns), place, int(timestamp_ms), int(attempt), key
        )
