"""Worker processes of tests: started as a user starts them, asked over HTTP, ended by signals."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually
from trunkline.broker import find_free_port

ROOT = Path(__file__).parents[2]
_FAUST = ROOT / ".venv/bin/faust"


class Worker:
    """One ``faust worker`` process.

    Args:
        folder: Where its log and data go.
        servers: Kafka's bootstrap servers.
        namespace: Put before topics and groups.
        app: What ``faust -A`` gets.
        name: Name of the pod.
        env: More of its environment.

    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        namespace: str,
        *,
        app: str = "app",
        name: str = "pod-1",
        **env: object,
    ) -> None:
        self.name = name
        self.app = app
        self.log = folder / f"{name}.log"
        self.port = find_free_port()
        self._env = {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "TRUNKLINE_NAMESPACE": namespace,
            "TRUNKLINE_POD": name,
            "TRUNKLINE_DATA_DIR": str(folder / "data"),
            "TRUNKLINE_WEB_PORT": str(self.port),
            # Short, for those that are killed; long enough for a busy machine.
            "TRUNKLINE_SESSION_TIMEOUT_S": "8",
            "TRUNKLINE_METADATA_MAX_AGE_S": "1",
            **{key: str(value) for key, value in env.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._root = ROOT

    def copy_project(self, folder: Path) -> None:
        """Copy the project's code, for a test that breaks it, and run the copy from now on."""
        for part in ("agents", "models", "tables", "trunkline"):
            shutil.copytree(
                ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "app.py", folder)
        self._root = folder

    def start(self) -> Worker:
        """Start the process; returns at once."""
        env = {**os.environ, **self._env, "PYTHONPATH": str(self._root)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # a start takes half the time with it unset
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [_FAUST, "-A", self.app, "worker", "-l", "info"],
                cwd=self._root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    @property
    def returncode(self) -> int | None:
        """Exit code, or None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def output(self) -> str:
        """Return all that it has printed."""
        return self.log.read_text(errors="replace")

    async def get(self, path: str) -> tuple[int, Any]:
        """Ask its web server; the status is 0 while nothing answers."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=30
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    async def stats(self) -> dict[str, Any]:
        """Return ``/stats``; empty while nothing answers."""
        status, body = await self.get("/stats")
        return body if status == 200 else {}

    async def wait_ready(self, timeout_s: float = 120) -> None:
        """Wait until the group has given it its partitions."""

        async def ready() -> bool:
            if self.returncode is not None:
                raise AssertionError(f"{self.name} ended ({self.returncode}):\n{self.tail()}")
            status, _ = await self.get("/health/ready")
            return status == 200

        await eventually(ready, timeout_s, f"{self.name} to be ready, see {self.log}")

    async def wait_assigned(self, partitions: int, timeout_s: float = 120) -> None:
        """Wait until it has so many partitions."""

        async def assigned() -> bool:
            stats = await self.stats()
            return len(stats.get("assigned", ())) == partitions

        await self.wait_ready(timeout_s)
        await eventually(assigned, timeout_s, f"{partitions} partitions of {self.name}")

    def kill(self) -> None:
        """``kill -9``, and wait for its end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    async def terminate(self, timeout_s: float = 15) -> tuple[int, float]:
        """SIGTERM; return the exit code, and how many seconds it took to end."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await self.wait_for_end(timeout_s)
        return code, time.monotonic() - began

    async def wait_for_end(self, timeout_s: float = 15) -> int:
        """Wait until the process has ended by itself; return its exit code."""
        assert self.process is not None
        await eventually(
            lambda: self.returncode is not None,
            timeout_s,
            f"the end of {self.name}, see {self.log}",
        )
        assert self.returncode is not None
        return self.returncode

    def tail(self, lines: int = 40) -> str:
        """Return the last lines that it has printed."""
        return "\n".join(self.output().splitlines()[-lines:])


@contextmanager
def workers(folder: Path, servers: str, namespace: str) -> Iterator[Callable[..., Worker]]:
    """Give a function that starts workers by name; all are killed at the end."""
    started: list[Worker] = []

    def start(name: str, **options: Any) -> Worker:
        started.append(Worker(folder, servers, namespace, name=name, **options))
        return started[-1].start()

    try:
        yield start
    finally:
        for worker in started:
            worker.kill()
