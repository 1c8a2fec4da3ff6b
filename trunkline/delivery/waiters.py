"""Those who wait for their turn, first come first served; a turn is never lost with a waiter."""

from __future__ import annotations

import asyncio
from collections import deque


class Waiters:
    """A queue of waiting tasks that are woken one by one or all at once.

    Who is woken looks again whether it may go on, and waits again if not. One that is cancelled
    when it was woken already wakes the next one in its place.
    """

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._futures)

    async def wait(self) -> None:
        """Wait to be woken, at the end of the queue."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        try:
            await future
        except BaseException:
            if future in self._futures:
                self._futures.remove(future)
            if future.done() and not future.cancelled():
                self.wake_one()
            raise

    def wake_one(self) -> None:
        """Wake who waits longest; nothing when nobody does."""
        while self._futures:
            future = self._futures.popleft()
            if not future.done():  # a cancelled one has not come round to leave the queue yet
                future.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake everybody."""
        for _ in range(len(self._futures)):
            self.wake_one()
