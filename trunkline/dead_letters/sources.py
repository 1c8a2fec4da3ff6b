"""Where the dead letters come from that are acted on: Kafka, or exported lines."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from trunkline.dead_letters.filters import LetterFilter
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.scan import Found, Scan, read_actions
from trunkline.dead_letters.snapshot import Ends
from trunkline.dead_letters.transfer import import_line
from trunkline.errors import ConfigurationError
from trunkline.settings import Settings
from trunkline.topology import Topology

#: Called with how far it is, and how far it goes.
OnRead = Callable[[int, int], None]
_IN_MEMORY_BYTES = 16 * 1024 * 1024


class Candidate(NamedTuple):
    """A dead letter that something may be done with, and the key of the note that it was."""

    found: Found
    key: str


class Source(Protocol):
    """Gives the same dead letters each time it is read."""

    @property
    def names_ids(self) -> bool:
        """Whether single dead letters were named, so that it is a failure when none is there."""

    def candidates(self, on_read: OnRead) -> AsyncGenerator[Candidate, None]:
        """Yield what is meant."""

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked for, for the audit trail."""


class ScanSource:
    """Open dead letters in Kafka: the second reading ends where the first one did."""

    def __init__(self, settings: Settings, topology: Topology, wanted: LetterFilter) -> None:
        self._settings = settings
        self._topology = topology
        self._wanted = wanted
        self._ends: Ends | None = None

    @property
    def names_ids(self) -> bool:
        """Whether single dead letters were named."""
        return bool(self._wanted.ids)

    def to_dict(self) -> dict[str, Any]:
        """Return the filter."""
        return {"filter": self._wanted.to_dict()}

    async def candidates(self, on_read: OnRead) -> AsyncGenerator[Candidate, None]:
        """Yield what is meant and open."""
        settings, topology, wanted = self._settings, self._topology, self._wanted
        async with Scan(settings.connection, topology, wanted, ends=self._ends) as scan:
            self._ends = scan.ends
            read = 0
            async for step in scan.steps():
                read += step.read
                on_read(read, scan.size)
                for found in step.found:
                    yield Candidate(found, found.letter.id)


class FileSource:
    """Exported lines, which can be read again."""

    names_ids = False
    #: What the audit trail is told of where the lines came from.
    name = "-"

    def __init__(self, stream: IO[bytes], settings: Settings, topology: Topology) -> None:
        self._stream = stream
        self._settings = settings
        self._topology = topology

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, path: Path | None, settings: Settings, topology: Topology
    ) -> Iterator[FileSource]:
        """Open a file, or take in standard input.

        Raises:
            ConfigurationError: It cannot be read.

        """
        with contextlib.ExitStack() as files:
            if path is None:
                stream: IO[bytes] = files.enter_context(_standard_input())
            else:
                try:
                    stream = files.enter_context(path.open("rb"))
                except OSError as error:
                    raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
            source = cls(stream, settings, topology)
            source.name = "-" if path is None else str(path)
            yield source

    def to_dict(self) -> dict[str, Any]:
        """Return the file's name."""
        return {"file": self.name}

    async def candidates(self, on_read: OnRead) -> AsyncGenerator[Candidate, None]:
        """Yield what the lines say.

        Raises:
            ConfigurationError: A line is wrong.

        """
        actions = await read_actions(self._settings.connection, self._topology)
        size = self._stream.seek(0, 2)
        self._stream.seek(0)
        read = 0
        for number, line in enumerate(self._stream, 1):
            read += len(line)
            on_read(read, size)
            if not line.strip():
                continue
            letter, key = import_line(line, number)
            fingerprint = fingerprint_of(letter, self._topology)
            action = actions.on(key, letter.timestamp_ms)
            yield Candidate(Found(letter, fingerprint, action), key)


def _standard_input() -> IO[bytes]:
    """Copy it: it is read twice."""
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  # the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy
