"""For how long a worker may take its partitions for its own without having heard from its group.

The coordinator gives partitions away when it has not heard from a member for the session timeout. A
worker that was frozen for so long (a paused machine, SIGSTOP), or whose client has lost its
coordinator, does not know that, and goes on with what others have by then. To handle an event twice
is allowed; to hand it over as failed while another worker handles it is not: it would be handled
and a dead letter. So nothing is handed over unless the coordinator has just said that we are a
member (issue 4).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

#: For this share of the session timeout an answer counts. The rest is for what is done because of
#: it, and for clocks that differ in speed.
_SHARE = 0.5


def uptime_s() -> float:
    """Return seconds that go on while the machine is suspended, where there are such."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """When the coordinator was last asked a question that it answered as to a member.

    Args:
        session_timeout_s: That of the group.
        clock: Seconds.

    """

    def __init__(self, session_timeout_s: float, clock: Callable[[], float] = uptime_s) -> None:
        self._length_s = session_timeout_s * _SHARE
        self._clock = clock
        self._asked_at = float("-inf")

    @property
    def holds(self) -> bool:
        """Whether it is certain that the group has not given our partitions to others.

        Half of the session timeout is left for what is done because of the answer.
        """
        return self._clock() - self._asked_at < self._length_s

    def watch(self, coordinator: Any) -> None:
        """Follow the answers of an aiokafka coordinator, before it has asked for anything."""
        coordinator._do_heartbeat = self._noting(coordinator._do_heartbeat)
        coordinator._do_rejoin_group = self._noting(coordinator._do_rejoin_group)

    def _noting(self, ask: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        async def noted(*arguments: Any) -> bool:
            # When it was asked, not when it was answered: the coordinator counts from in between.
            asked_at = self._clock()
            answered = await ask(*arguments)
            if answered:
                self._asked_at = asked_at
            return answered

        return noted
