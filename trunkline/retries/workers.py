"""Tasks that take what is due, as many at once as allowed, and sleep while nothing is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from trunkline.delivery.runner import SLICE_S
from trunkline.retries.schedule import Waiting

_CANCEL_GRACE_S = 1.0


class Workers:
    """Run one thing after the other in each of up to ``concurrency`` tasks.

    A task that takes something wakes one other first, so that somebody goes on if this one waits;
    what never waits is run in line by a single task.

    Args:
        concurrency: Most tasks.
        take: Gives the next thing, None when nothing is due.
        run: Does it; must not raise.
        next_in_s: Tells in how many seconds :attr:`take` will have something; None for never.
        on_died: Told what ended a task that should not have ended. What it had taken is lost to
            this object, so its owner must begin anew.

    """

    def __init__(
        self,
        concurrency: int,
        take: Callable[[], Waiting | None],
        run: Callable[[Waiting], Awaitable[None]],
        next_in_s: Callable[[], float | None],
        on_died: Callable[[BaseException], None],
    ) -> None:
        self._concurrency = concurrency
        self._take = take
        self._run = run
        self._next_in_s = next_in_s
        self._on_died = on_died
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        #: When it rings, by the monotonic clock. Not asked of the timer: uvloop's may have no
        #: ``when()``, and its loop's time stands still while something runs.
        self._rings_at = 0.0
        self._waking = False
        self._ending = False

    @property
    def busy(self) -> int:
        """How many are at work."""
        return len(self._tasks) - len(self._idle)

    @property
    def is_ending(self) -> bool:
        """Whether tasks are being ended, if need be by cancelling them."""
        return self._ending

    def wake(self) -> None:
        """Look whether something is due, now or later."""
        if self._waking or self._ending:
            return  # who is being woken looks for itself, and at what comes later too
        in_s = self._next_in_s()
        if in_s is None:
            return
        if in_s <= 0:
            self._wake_one()
        else:
            self._arm(in_s)

    async def end(self, timeout_s: float) -> None:
        """Start nothing new, let what runs end, and cancel it when the time is up."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        for future in self._idle:
            if not future.done():  # cancelled with its task
                future.set_result(None)
        self._idle.clear()
        tasks = set(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_GRACE_S)

    def _arm(self, in_s: float) -> None:
        at = monotonic() + in_s
        if self._timer is not None:
            if self._rings_at <= at:
                return
            self._timer.cancel()
        self._rings_at = at
        self._timer = asyncio.get_running_loop().call_later(in_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.wake()

    def _wake_one(self) -> None:
        if self._waking or self._ending:
            return
        if self._idle:
            self._waking = True
            self._idle.pop().set_result(None)
        elif len(self._tasks) < self._concurrency:
            self._waking = True
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if task.cancelled():
            # By end() alone on purpose: a handler may cancel the task that it runs in.
            error = None if self._ending else asyncio.CancelledError("by the task itself")
        else:
            error = task.exception()
        if error is not None:
            # Only a mistake of ours gets here: make it as loud as it is.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "A retry worker died", "exception": error}
            )
            self._on_died(error)

    async def _work(self) -> None:
        self._waking = False
        began = monotonic()
        while not self._ending:
            waiting = self._take()
            if waiting is None:
                await self._sleep_until_woken()
                began = monotonic()
                continue
            self.wake()
            await self._run(waiting)
            if monotonic() - began > SLICE_S:
                await asyncio.sleep(0)
                began = monotonic()

    async def _sleep_until_woken(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        # Only now: what became due since this one looked must find somebody to wake.
        self.wake()
        try:
            await future
        finally:
            self._waking = False
