"""A contestant: a process that says in JSON lines how far it is, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any

from trunkline.bench.usage import Usage, rss_bytes, usage_of
from trunkline.errors import TrunklineError

_END_TIMEOUT_S = 20.0


class Contestant:
    """Runs a process; collects what it says on stdout, one JSON object a line, into ``said``.

    It ends, with its last line, on SIGTERM. What it used is looked at when it says ``began_at``
    and when it says ``ended_at``.

    Raises:
        TrunklineError: It ended by itself; the message has the end of its stderr.

    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.said: dict[str, Any] = {}
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        # A start takes half the time when the compiled modules are kept.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._log: IO[bytes] | None = None
        self._heard = asyncio.Event()
        self._used: dict[str, Usage] = {}

    async def __aenter__(self) -> Contestant:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._started.kill()
        await self._started.wait()
        if self._reading is not None:
            await self._reading
        if self._log is not None:
            self._log.close()

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "enter the contestant first"
        return self._process

    @property
    def rss_bytes(self) -> int:
        """Memory that it has now."""
        return rss_bytes(self._started.pid)

    @property
    def cpu_s(self) -> float:
        """CPU seconds that its process tree used between its first event and its last, or now."""
        before = self._used.get("began_at", Usage(0, 0))
        return self._used.get("ended_at", self.usage()).cpu_s - before.cpu_s

    @property
    def peak_mb(self) -> float:
        """The most memory that its process tree had until its last event, or now, in MiB."""
        return self._used.get("ended_at", self.usage()).peak_bytes / 1024**2

    def usage(self) -> Usage:
        """Return what its process tree has used until now."""
        return usage_of(self._started.pid)

    def check(self) -> None:
        """Raise when it has ended by itself."""
        if self._started.returncode is not None:
            raise TrunklineError(
                f"{self.name} ended by itself (exit {self._started.returncode}):\n{self.log_tail()}"
            )

    def log_tail(self) -> str:
        """Return the end of what it wrote to stderr."""
        assert self._log is not None
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 3000))
        return self._log.read().decode(errors="replace")

    async def hears(self, name: str, timeout_s: float) -> bool:
        """Wait until it has said something with this name, and return whether it did in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while name not in self.said:
                    self.check()
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            return False
        return True

    async def ended(self, timeout_s: float) -> None:
        """Wait until it has ended by itself.

        Raises:
            TrunklineError: It did not in time, or it failed.

        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._started.wait()
        except TimeoutError:
            raise TrunklineError(f"{self.name} did not end within {timeout_s:g} s") from None
        if self._reading is not None:
            await self._reading
        if self._started.returncode:
            self.check()

    async def end(self) -> dict[str, Any]:
        """Tell it to end, and return all that it said."""
        self.check()
        self._used.setdefault("ended_at", self.usage())
        self._started.terminate()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._started.wait()
        except TimeoutError:
            raise TrunklineError(
                f"{self.name} did not end within {_END_TIMEOUT_S:g} s:\n{self.log_tail()}"
            ) from None
        if self._reading is not None:
            await self._reading
        return self.said

    async def _read(self) -> None:
        stdout = self._started.stdout
        assert stdout is not None
        async for line in stdout:
            if line.startswith(b"{"):
                self._hear(json.loads(line))
        # Who waits for a word learns that there will be none.
        await self._started.wait()
        self._heard.set()

    def _hear(self, line: dict[str, Any]) -> None:
        for moment in ("began_at", "ended_at"):
            if moment in line:
                self._used.setdefault(moment, self.usage())
        self.said.update(line)
        self._heard.set()
