"""Unix time that does not jump: the system's at the start, then by a clock that nobody sets.

Delays between retries are lengths of time. Counted by a clock that is set an hour ahead, all that
waits would be due at once; by one that is set back, nothing would be for an hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: By how much the two may differ before it is said, in seconds.
_SAID_FROM_S = 5.0


class SteadyTime:
    """Counts on from the system's clock as it was when this was made.

    Args:
        wall: The system's clock, in Unix seconds.
        monotonic: A clock that nobody sets.

    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()
        self._said = False

    def now_s(self) -> float:
        """Return the Unix time, in seconds."""
        now = self._monotonic() + self._offset_s
        if not self._said and abs(self._wall() - now) > _SAID_FROM_S:
            self._said = True
            logger.warning(
                "The system's clock was set by %+.0f s while this worker runs. Retries keep their "
                "delays; the times that they show are off by that until the worker is restarted.",
                self._wall() - now,
            )
        return now


_STEADY = SteadyTime()


def now_s() -> float:
    """Return the Unix time of this process, in seconds."""
    return _STEADY.now_s()


def now_ms() -> int:
    """Return it in milliseconds, rounded down, so that nothing is early."""
    return int(_STEADY.now_s() * 1000)
