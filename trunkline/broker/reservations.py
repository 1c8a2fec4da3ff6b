"""Ports that a process of this machine was given and may not have bound yet.

Between "this port is free" and the bind of the worker that was started with it lie seconds, in
which another process that looks for one must not find the same. A file that all processes of a
user share says which process was given which port; what a process was given is its own until it
ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_OWNER_ONLY = 0o600


class Reservations:
    """The shared file.

    Args:
        path: Where it is; by default in the machine's folder for temporary files.

    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(tempfile.gettempdir()) / f"trunkline-ports-{os.getuid()}.json"

    @contextmanager
    def held(self) -> Iterator[dict[int, int]]:
        """Give the process id by port, of processes that live; what is added to it is kept.

        One process at a time. Where the file cannot be had, nothing is known and nothing is kept:
        two processes may then choose the same port, and the second one says that it is in use.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.fdopen(os.open(self._path, flags, _OWNER_ONLY), "r+")
        except OSError:
            yield {}
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            taken = _of_living(file.read())
            yield taken
            file.seek(0)
            file.truncate()
            json.dump(taken, file)


def _of_living(text: str) -> dict[int, int]:
    try:
        return {int(port): pid for port, pid in json.loads(text).items() if psutil.pid_exists(pid)}
    except (AttributeError, TypeError, ValueError):
        return {}  # new, or half written by a process that was killed
