"""A PostgreSQL of one test file alone, to stop or freeze; ``postgres.py`` has the shared."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.support.postgres import _OPTIONS, _run, _start, _stop, _url, find_binaries


class OwnPostgres:
    """A server that is running when it is made.

    Attributes:
        url: With password, of the database ``postgres``.

    """

    def __init__(self) -> None:
        self._binaries = find_binaries()
        self._cluster = _start(self._binaries)
        self.url = _url(self._cluster)
        self._frozen: list[psutil.Process] = []

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` rolls back and says goodbye, ``immediate`` is a crash."""
        self._control("-m", mode, "stop")

    def start(self, options: str = "") -> None:
        """Start it again on the same port, its data as they were."""
        port = (self._cluster / "port").read_text()
        given = f"{_OPTIONS} -p {port} {options}"
        self._control("-l", self._cluster / "log", "-o", given, "start")

    def freeze(self) -> None:
        """Let it answer nothing more, with its connections open: a host that hangs."""
        pid = int((self._cluster / "data" / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        for process in [server, *server.children(recursive=True)]:
            process.send_signal(signal.SIGSTOP)
            self._frozen.append(process)

    def thaw(self) -> None:
        """Let it go on where it was."""
        while self._frozen:
            process = self._frozen.pop()
            if process.is_running():
                process.send_signal(signal.SIGCONT)

    def destroy(self) -> None:
        """Stop it if it runs, and delete its folder."""
        self.thaw()
        if not (self._cluster / "data" / "postmaster.pid").exists():
            self.start()
        _stop(self._binaries, self._cluster)

    def _control(self, *arguments: object) -> None:
        _run(self._binaries / "pg_ctl", "-D", self._cluster / "data", "-w", *arguments)


@contextmanager
def own_postgres_server() -> Iterator[OwnPostgres]:
    """Lend a server, and destroy it in the end."""
    server = OwnPostgres()
    try:
        yield server
    finally:
        server.destroy()
