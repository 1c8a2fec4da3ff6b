"""What a worker holds in memory and no longer needs goes back: garbage, and free pages of malloc.

Records come in by the ten thousand and go again by their reference counts, so Python's collector is
told to stay away from them. What goes by it alone (cycles, which SQLAlchemy's statements are) would
then pile up for hours in a worker with little to do; and glibc keeps the pages of a backlog that
was caught up with, for a day that may not come. Both are given back once a minute, in a few
milliseconds (issue 6, soak).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable

#: More container objects than one fetch makes.
_COLLECT_AFTER = 100_000
#: How often young garbage and free pages are given back.
_TIDY_S = 60.0
#: How often all objects are walked, at most; and how much of the time that may take.
_FULL_S = 600.0
_FULL_SHARE = 1 / 2_000


def spare_the_garbage_collector() -> None:
    """Keep the garbage collector from walking all modules for every few records.

    With Python's thresholds the collector took two thirds of a busy worker's time (``trunkline
    bench throughput``); what was made at start never goes, so it is frozen.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


class MemoryKeeper:
    """Gives back what is not needed.

    Args:
        clock: Seconds, monotonic.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trim = _malloc_trim()
        self._full_at = clock() + _FULL_S

    async def run(self) -> None:
        """Tidy up once a minute, until it is cancelled."""
        while True:
            await asyncio.sleep(_TIDY_S)
            await self.tidy()

    async def tidy(self) -> None:
        """Collect what has become garbage lately, rarely all, and give free pages back."""
        began = self._clock()
        if began < self._full_at:
            gc.collect(1)
        else:
            gc.collect()
            ended = self._clock()
            self._full_at = ended + max(_FULL_S, (ended - began) / _FULL_SHARE)
        if self._trim is not None:
            await asyncio.to_thread(self._trim, 0)


def _malloc_trim() -> Callable[[int], object] | None:
    """Return glibc's function; other C libraries have none, and keep less."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
