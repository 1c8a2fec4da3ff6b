"""Which share of the events failed lately, without any work for those that did not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

#: Into how many parts a window is cut: it slides in steps of one, and its memory is bounded.
_PARTS = 20


@dataclass(slots=True)
class _Part:
    """Failures of one part of the window, and how many events had succeeded when it began."""

    began_at_s: float
    handled: int
    failures: int


class FailureWindow:
    """Count failures as they are told; successes are taken from a counter that runs anyway.

    The window begins with the oldest failure that is not older than ``window_s``. What succeeded
    before it is left out: an hour of good events does not hide that everything fails since a
    second ago, and nobody has to look at the counter while all is well.

    Args:
        window_s: Width of the window.
        handled: Returns how many events have succeeded so far; it never falls.
        now_s: Monotonic clock.

    """

    def __init__(
        self, window_s: float, handled: Callable[[], int], now_s: Callable[[], float]
    ) -> None:
        self._window_s = window_s
        self._handled = handled
        self._now_s = now_s
        self._parts: deque[_Part] = deque()
        #: Of all parts.
        self._failures = 0

    def add(self, failures: int = 1) -> None:
        """Count failures that happened now; 0 of them only let the window begin here."""
        now = self._now_s()
        if not self._parts or now - self._parts[-1].began_at_s >= self._window_s / _PARTS:
            self._parts.append(_Part(now, self._handled(), 0))
        self._parts[-1].failures += failures
        self._failures += failures

    def counts(self) -> tuple[int, int]:
        """Return how many failed, and how many events there were in all, within the window."""
        oldest = self._now_s() - self._window_s
        parts = self._parts
        while parts and parts[0].began_at_s < oldest:
            self._failures -= parts.popleft().failures
        if not parts:
            return 0, 0
        failures = self._failures
        return failures, failures + self._handled() - parts[0].handled

    def clear(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self._failures = 0
