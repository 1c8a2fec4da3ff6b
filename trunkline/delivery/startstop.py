"""Give anything with ``start`` and ``stop`` a place in the worker's life."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from mode import Service

from trunkline.delivery.gate import abort
from trunkline.errors import TrunklineError


class Startable(Protocol):
    """Something that a worker starts before it consumes, and stops after."""

    def start(self) -> Awaitable[None]:
        """Begin."""

    def stop(self) -> Awaitable[None]:
        """End, within a second or two whatever hangs."""


Part = TypeVar("Part", bound=Startable)


class StartStop(Service):
    """Starts and stops a part with its worker."""

    #: mode says "Starting…" and "Stopping…" at this level.
    mundane_level = "debug"

    def __init__(self, part: Startable, **options: Any) -> None:
        self._part = part
        super().__init__(**options)

    async def on_start(self) -> None:
        """Start the part; what it cannot start without ends the process with a clear message."""
        try:
            await self._part.start()
        except TrunklineError as error:
            abort(error)

    async def on_stop(self) -> None:
        """Stop the part."""
        await self._part.stop()
