"""Keep a worker's log readable: the libraries' chatter out, and their repeated errors rare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

#: Libraries whose ``info`` is chatter; ``-l debug`` shows it.
_LIBRARIES = ("faust", "mode", "aiokafka")
#: While a broker is away aiokafka logs the same error several times a second.
REPEAT_AFTER_S = 10.0


class RepeatFilter(logging.Filter):
    """Let a library's message through once in ten seconds, and say how many were held back.

    Messages are the same when their logger and template are; our own always pass.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if not record.name.startswith("aiokafka"):
            return True
        key = (record.name, str(record.msg))
        said_at, held = self._seen.get(key, (float("-inf"), 0))
        now = self._clock()
        if now - said_at < REPEAT_AFTER_S:
            self._seen[key] = (said_at, held + 1)
            return False
        self._seen[key] = (now, 0)
        if held:
            record.msg = f"{record.msg} (and {held} more like it)"
        return True


def make_readable(root: logging.Logger, level: int) -> None:
    """Quieten the libraries, unless the worker runs with ``-l debug``."""
    if level < logging.INFO:
        return
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for handler in root.handlers:
        handler.addFilter(RepeatFilter())
