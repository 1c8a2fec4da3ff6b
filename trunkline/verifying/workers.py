"""Worker processes: ``faust -A app worker``, as a Procfile or a container starts it.

    worker = WorkerProcess("db-server", servers="127.0.0.1:19092", directory=folder)
    worker.start()
    await worker.wait_ready()
    (await worker.stats())["assigned"]
    await worker.stop()

No worker outlives the process that started it, unless that one is killed with ``kill -9``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

from trunkline.broker.ports import HOST, find_free_port
from trunkline.errors import TrunklineError
from trunkline.verifying.environment import inherited_environment, project_root

#: A worker takes 3 to 5 s to start on a free core; many of them start at once here.
READY_TIMEOUT_S = 120.0
#: A worker ends itself within 9 s of SIGTERM (``TRUNKLINE_SHUTDOWN_TIMEOUT_S``).
STOP_TIMEOUT_S = 15.0
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=5)
_POLL_S = 0.1
_LOG_LINES = 15
_started: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


class WorkerError(TrunklineError):
    """A worker process did not start, ended by itself, or does not answer."""


class WorkerProcess:
    """One pod as a process of its own; it may be ended and started again under the same name.

    Pods that share a directory share the SQLite files in it, one file per service.

    Attributes:
        service: Which service it runs.
        pod: Name of the pod: the same after a restart, so static membership knows it again.
        directory: Folder of its log and data.
        url: Where its web server is, such as ``http://127.0.0.1:20123``.
        log_file: What it wrote, over all its starts.

    """

    def __init__(
        self,
        service: str,
        *,
        servers: str,
        directory: Path,
        namespace: str = "",
        pod: str = "",
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        host: str = HOST,
    ) -> None:
        """Describe a worker; nothing is started.

        Args:
            service: What ``TRUNKLINE_SERVICE`` is to be.
            servers: Kafka's ``host:port[,host:port…]``.
            directory: Folder for its log and data; made when it is not there.
            namespace: What ``TRUNKLINE_NAMESPACE`` is to be.
            pod: What ``TRUNKLINE_POD`` is to be; else made of the service and its port.
            env: More environment variables, such as ``TRUNKLINE_SESSION_TIMEOUT_S``.
            wrapper: Command that becomes the worker's, such as ``ip netns exec NAME``.
            host: Address of its web server.

        """
        port = find_free_port()
        self.service = service
        self.pod = pod or f"{service}-{port}"
        self.directory = directory.absolute()
        self.url = f"http://{host}:{port}"
        self._wrapper = list(wrapper)
        self.log_file = self.directory / f"{self.pod}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._env = {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "TRUNKLINE_SERVICE": service,
            "TRUNKLINE_NAMESPACE": namespace,
            "TRUNKLINE_POD": self.pod,
            "TRUNKLINE_DATA_DIR": str(self.directory / "data"),
            "TRUNKLINE_WEB_HOST": host,
            "TRUNKLINE_WEB_PORT": str(port),
            **(env or {}),
        }

    async def __aenter__(self) -> WorkerProcess:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        finally:
            self.kill()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the latest start.

        Raises:
            WorkerError: It was never started.

        """
        return self._get_process().pid

    @property
    def exit_code(self) -> int | None:
        """How it ended: None while it lives, ``-9`` after ``kill -9``."""
        return self._get_process().poll()

    def start(self) -> None:
        """Start the process, or start it again after it ended; returns at once.

        Raises:
            WorkerError: It runs already.

        """
        if self.running:
            raise WorkerError(f"Worker {self.pod} runs already, as process {self.pid}.")
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            *self._wrapper,
            sys.executable,
            "-m",
            "faust",
            "-A",
            "app",
            "worker",
            "-l",
            "info",
        ]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=project_root(),
                env={**inherited_environment(), **self._env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for us alone; we end the workers in order
            )
        _started.add(self)

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it does its work: a consumer has its partitions, a publisher its broker.

        Raises:
            WorkerError: It ended, or it was not ready in time; the message has its last lines.

        """
        await self._wait_for("/health/ready", "ready", timeout_s)

    async def wait_live(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until its web server answers, which it does without a broker too.

        Raises:
            WorkerError: It ended, or did not answer in time; the message has its last lines.

        """
        await self._wait_for("/health/live", "live", timeout_s)

    async def stats(self) -> dict[str, Any]:
        """Return what ``/stats`` says.

        Raises:
            WorkerError: It does not answer.

        """
        try:
            status, body = await self.get("/stats")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise WorkerError(self._explain(f"does not answer /stats ({error!r})")) from None
        if status != 200:
            raise WorkerError(self._explain(f"answers /stats with {status}: {body!r}"))
        found: dict[str, Any] = msgspec.json.decode(body)
        return found

    async def get(self, path: str) -> tuple[int, bytes]:
        """Ask its web server; return status and body.

        Raises:
            aiohttp.ClientError, TimeoutError: It does not answer.

        """
        async with (
            aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
            session.get(self.url + path) as response,
        ):
            return response.status, await response.read()

    def terminate(self) -> None:
        """Send SIGTERM: finish, commit, leave the group, end. Returns at once."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT; an ended process gets none."""
        if self.running:
            self._get_process().send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would (``kill -9``), and wait until it is gone."""
        if self.running:
            self._get_process().kill()
            self._get_process().wait()

    async def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it has ended; return its exit code.

        Raises:
            WorkerError: It still runs.

        """
        process = self._get_process()
        deadline = time.monotonic() + timeout_s
        while (code := process.poll()) is None:
            if time.monotonic() > deadline:
                raise WorkerError(self._explain(f"still runs after {timeout_s:g} s"))
            await asyncio.sleep(_POLL_S / 2)
        return code

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """Send SIGTERM and wait; return the exit code, or None when it was never started.

        Raises:
            WorkerError: It still runs.

        """
        if self._process is None:
            return None
        self.terminate()
        return await self.wait(timeout_s)

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        """Return the last lines that it wrote."""
        if not self.log_file.exists():
            return ""
        text = self.log_file.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    async def _wait_for(self, path: str, what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        answer = "no answer"
        while True:
            if not self.running:
                code = self.exit_code
                raise WorkerError(self._explain(f"ended with {code} before it was {what}"))
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, body = await self.get(path)
                if status == 200:
                    return
                answer = body.decode(errors="replace")
            if time.monotonic() > deadline:
                late = f"was not {what} within {timeout_s:g} s ({answer})"
                raise WorkerError(self._explain(late))
            await asyncio.sleep(_POLL_S)

    def _get_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise WorkerError(f"Worker {self.pod} was not started.")
        return self._process

    def _explain(self, problem: str) -> str:
        return f"Worker {self.pod} {problem}. The end of its log, {self.log_file}:\n" + (
            self.log_tail() or "(empty)"
        )


@atexit.register
def _kill_all() -> None:
    for worker in _started:
        worker.kill()
