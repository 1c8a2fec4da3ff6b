"""The ``trunkline`` command in a process of its own, as a user runs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

_CODE = "from trunkline.cli import main; main()"


class Done(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


class Command:
    """Runs ``trunkline`` against a cluster.

    Args:
        servers: Where Kafka is.
        namespace: Of topics and groups.
        environment: Further variables.

    """

    def __init__(self, servers: str, namespace: str, **environment: str) -> None:
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "TRUNKLINE_NAMESPACE": namespace,
            **environment,
        }
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *args: str, **environment: str) -> subprocess.Popen[str]:
        """Start it, and let it run."""
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, *args],
            env={**self._environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    async def run(self, *args: str, stdin: str = "", **environment: str) -> Done:
        """Run it to its end."""
        process = self.start(*args, **environment)
        out, err = await asyncio.to_thread(process.communicate, stdin, 60)
        return Done(process.returncode, out, err)


@contextmanager
def commands(servers: str, namespace: str) -> Iterator[Callable[..., Command]]:
    """Give a function that makes a :class:`Command`; what still runs at the end is killed."""
    made: list[Command] = []

    def make(**environment: str) -> Command:
        made.append(Command(servers, namespace, **environment))
        return made[-1]

    try:
        yield make
    finally:
        for process in (process for command in made for process in command.started):
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None and not pipe.closed:
                    with contextlib.suppress(OSError):  # what it had not read yet
                        pipe.close()
