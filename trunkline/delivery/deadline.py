"""End a process in time after SIGTERM or SIGINT, whatever hangs.

What was not committed by then is delivered again, so a hard end loses nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

#: The system's own alarm ends what even a thread cannot: an extension that keeps the interpreter's
#: lock, or an interpreter that hangs in its own end.
_ALARM_AFTER_S = 0.5


class Deadline:
    """Counts from the first signal on; the handlers that were there are called as before.

    A handler of the event loop's would not do: while somebody blocks the loop it is never called.
    Python's own handlers run between any two instructions of the main thread, and interrupt what it
    waits for.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._counting = False

    def watch(self) -> None:
        """Count from SIGTERM or SIGINT on; call it after the loop's handlers are in place."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._watch(number)

    def _watch(self, number: signal.Signals) -> None:
        previous = signal.getsignal(number)

        def count_and_pass_on(received: int, frame: FrameType | None) -> None:
            self.count()
            if callable(previous):
                previous(received, frame)

        signal.signal(number, count_and_pass_on)

    def count(self) -> None:
        """Start the count; a second call changes nothing."""
        if self._counting:
            return
        self._counting = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self._limit_s + _ALARM_AFTER_S)
        threading.Thread(target=self._end, name="deadline", daemon=True).start()

    def _end(self) -> None:
        time.sleep(self._limit_s)
        sys.stderr.write(
            f"Not stopped within {self._limit_s:g} s: ending hard. Nothing is lost by that, what "
            "was not committed is delivered again.\n"
        )
        sys.stderr.flush()
        os._exit(1)
