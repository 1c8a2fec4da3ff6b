"""Wait for something by asking for it: never by sleeping as long as it took on one machine."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.02


async def eventually(
    predicate: Callable[[], T | Awaitable[T]], timeout_s: float = 15, what: str = "it to be true"
) -> T:
    """Ask until the answer is true, and return it.

    Args:
        predicate: Asked every 20 ms; sync or async.
        timeout_s: When to give up.
        what: Completes "waited for …" in the message.

    Raises:
        AssertionError: It was not true in time; the message has the last answer.

    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        asked = predicate()
        answer: T = await asked if inspect.isawaitable(asked) else asked
        if answer:
            return answer
        if time.monotonic() > give_up_at:
            raise AssertionError(
                f"Waited {timeout_s:g} s for {what}; the last answer was {answer!r}."
            )
        await asyncio.sleep(_POLL_S)
