"""The counts of dead letters in ``/stats``, which is made anew for each request and cannot wait."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from mode import Service

from trunkline.dead_letters.index import DeadLetterIndex, Overview
from trunkline.errors import DependencyDown

#: How often the database is asked: a sum over the fingerprints, of which there are few.
REFRESH_S = 2.0


class OverviewKeeper(Service):
    """Ask the index every two seconds, and keep the last answer.

    While the database is away the last answer stays, with its time.
    """

    mundane_level = "debug"

    def __init__(
        self, index: DeadLetterIndex, refresh_s: float = REFRESH_S, **options: Any
    ) -> None:
        self._index = index
        self._refresh_s = refresh_s
        self._last: Overview | None = None
        self._at_ms = 0
        super().__init__(**options)

    def stats(self) -> dict[str, Any]:
        """Return the part of ``/stats``; empty before the first answer.

        ``as_of_ms`` is when the database was asked. An older time than a few seconds ago says that
        it is away.
        """
        if self._last is None:
            return {}
        body: dict[str, Any] = msgspec.to_builtins(self._last)
        return {**body, "as_of_ms": self._at_ms}

    @Service.task
    async def _refresh(self) -> None:
        while not self.should_stop:
            await self._ask()
            await self.sleep(self._refresh_s)

    async def _ask(self) -> None:
        asked_ms = time.time_ns() // 1_000_000
        try:
            self._last = await self._index.overview()
        except DependencyDown:
            return  # The handler meets the same, and its breaker says so once.
        self._at_ms = asked_ms
