"""Run processes side by side with honcho, and start those again that crash."""

from __future__ import annotations

import signal
import time
from typing import Any

import honcho.manager
from honcho.manager import Manager
from honcho.process import Process

#: After SIGTERM to the processes; a worker ends itself within 9 s, nearly always in 3.
KILL_WAIT_S = 8
_RESTART_PAUSE_S = 1.0
#: Ended because it was told to, or because nothing would change by starting it again.
_FINAL = frozenset({0, 2, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM})


class RestartingProcess(Process):
    """A process that is started again when it crashes, as Kubernetes or systemd would do.

    honcho ends everything when one process ends; here one may be killed to see what happens.
    """

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Run until the process ends for good; called in a process of its own."""
        self._events = events
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
            if code in _FINAL:
                self._send_message({"returncode": code}, type="stop")
                return
            self._send_message(f"ended with {code}: started again\n".encode())
            time.sleep(_RESTART_PAUSE_S)


def new_manager() -> Manager:
    """Return honcho's manager, with restarts and our time limit."""
    honcho.manager.KILL_WAIT = KILL_WAIT_S
    manager = Manager()
    manager._process_ctor = RestartingProcess
    return manager
