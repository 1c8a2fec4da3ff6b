"""What time it is, and what is to happen later: the running loop's clock, or a test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that is to happen later."""

    def cancel(self) -> None:
        """Let it not happen; nothing when it has already."""


class Clock(Protocol):
    """The part of an event loop that tells the time."""

    def time(self) -> float:
        """Return monotonic seconds."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call back once, in ``delay`` seconds."""


class LoopClock:
    """The clock of whatever event loop runs, for objects that are made before it does."""

    def time(self) -> float:
        """Return the loop's monotonic seconds."""
        return asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call back in the loop's own thread."""
        return asyncio.get_running_loop().call_later(delay, callback)


LOOP_CLOCK = LoopClock()
