"""Run processes side by side with honcho, and start those again that crash."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Any, NoReturn

import honcho.manager
from honcho.manager import Manager
from honcho.process import Process

#: After SIGTERM to the processes; a worker ends itself within 9 s, nearly always in 3.
KILL_WAIT_S = 8
_RESTART_PAUSE_S = 1.0
_LOOK_S = 0.25
#: Ended because it was told to, or because nothing would change by starting it again.
_FINAL = frozenset({0, 2, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM})


class RestartingProcess(Process):
    """A process that is started again when it crashes, as Kubernetes or systemd would do.

    honcho ends everything when one process ends; here one may be killed to see what happens.

    Args:
        ending: Set when all are told to end: from then on nothing is started again.
        options: Those of honcho.

    """

    def __init__(self, *options: Any, ending: Event, **named: Any) -> None:
        super().__init__(*options, **named)
        self._ending = ending

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Run until the process ends for good; called in a process of its own."""
        self._events = events
        threading.Thread(target=self._end_with, args=(os.getppid(),), daemon=True).start()
        while True:
            self._child = self._child_ctor(self.cmd, env=self.env, cwd=self.cwd)
            self._send_message({"pid": self._child.pid}, type="start")
            if ignore_signals:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for line in iter(self._child.stdout.readline, b""):
                self._send_message(line)
            self._child.stdout.close()
            code = self._child.wait()
            if code in _FINAL or self._ending.is_set():
                self._send_message({"returncode": code}, type="stop")
                return
            self._send_message(f"ended with {code}: started again\n".encode())
            time.sleep(_RESTART_PAUSE_S)

    def _end_with(self, manager: int) -> NoReturn:
        """End what was started when the manager is gone: after its ``kill -9`` nobody else would.

        Left alone, the processes would go on and hold their ports.
        """
        while os.getppid() == manager:
            time.sleep(_LOOK_S)
        for number, patience_s in ((signal.SIGTERM, KILL_WAIT_S), (signal.SIGKILL, 1.0)):
            until = time.monotonic() + patience_s
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(self._child.pid, number)
                while time.monotonic() < until:
                    time.sleep(_LOOK_S)
                    os.killpg(self._child.pid, 0)
        os._exit(1)


class RestartingManager(Manager):
    """honcho's manager, with restarts until all are told to end."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = multiprocessing.Event()
        self._process_ctor = functools.partial(RestartingProcess, ending=self._ending)

    def terminate(self) -> None:
        """End all processes."""
        self._ending.set()
        super().terminate()


def new_manager() -> Manager:
    """Return a manager with our time limit."""
    honcho.manager.KILL_WAIT = KILL_WAIT_S
    return RestartingManager()
