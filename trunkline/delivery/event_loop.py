"""Which event loop a worker runs on."""

from __future__ import annotations

import sys

import mode.loop

from trunkline.delivery.closed_transports import tolerate_closed_transports
from trunkline.settings import Settings


def use_event_loop(settings: Settings) -> None:
    """Let this process make its event loops as the settings say; before the first one is made.

    uvloop by default: a fifth less of a core for a worker with little to do and for one with many
    clients, and timers that are not rounded up to milliseconds (``trunkline bench``). It takes the
    place of Faust's ``--loop``.
    """
    if settings.event_loop == "uvloop" and sys.platform != "win32":
        mode.loop.use("uvloop")
        tolerate_closed_transports()
