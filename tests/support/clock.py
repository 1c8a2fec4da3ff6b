"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable


class FakeTimer:
    """A call that is to come, until it is cancelled."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Let it not happen."""
        self.callback = None


class FakeClock:
    """A :class:`trunkline.delivery.clock.Clock` for tests."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._count = 0

    def time(self) -> float:
        """Return the seconds that the test let pass."""
        return self._now_s

    def call_later(self, delay: float, callback: Callable[[], object], /) -> FakeTimer:
        """Call back when the test has let that much time pass."""
        timer = FakeTimer(callback)
        self._count += 1
        heapq.heappush(self._timers, (self._now_s + delay, self._count, timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let time pass, with all that happens on the way."""
        until = self._now_s + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            self._now_s, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
            await settle()
        self._now_s = until


async def settle() -> None:
    """Let every task run until it waits for time or for another one."""
    for _ in range(20):
        await asyncio.sleep(0)
