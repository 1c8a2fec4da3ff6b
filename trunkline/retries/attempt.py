"""One more attempt at an event that waits: the same handler, outside of its source partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from models.failures import RetryEntry
from trunkline.delivery.chain import raise_if_ours
from trunkline.delivery.decode import check_key, explain, headed_decoder_for
from trunkline.delivery.failure import Failure
from trunkline.delivery.target import Target
from trunkline.errors import InvalidEventError, Permanent
from trunkline.retries.records import context_of


class Attempts:
    """Runs the handler of one topic for one event at a time.

    Args:
        target: The handler, its policy, breaker and flood guard.

    """

    def __init__(self, target: Target) -> None:
        self.target = target
        subscription = target.subscription
        self._handle = subscription.handler
        self._is_batch = subscription.shape == "batch"
        self._wants_context = subscription.wants_context
        self._decode = headed_decoder_for(subscription.model)

    async def attempt(self, entry: RetryEntry) -> BaseException | None:
        """Handle an event; returns what the handler raised, None when it was handled."""
        try:
            event = self._event(entry)
        except Exception as error:
            return error
        try:
            await self._call(event, entry)
        except (Exception, SystemExit) as error:
            return error
        except asyncio.CancelledError as error:
            raise_if_ours(error)
            return error
        return None

    def failure_of(self, error: BaseException) -> Failure:
        """Describe what the handler raised, classed by the topic's policy."""
        kind = "invalid" if isinstance(error, InvalidEventError) else ""
        return Failure.of(error, kind or self.target.policy.kind_of(error))

    def _event(self, entry: RetryEntry) -> Any:
        if entry.left_out_bytes:
            raise Permanent(
                f"The event was too large to be handed over ({entry.left_out_bytes} bytes are left "
                f"out): it stands at {entry.id} until that topic's retention ends."
            )
        if not self.target.policy.retryable:
            raise Permanent(
                f"The handler of {entry.id.topic} works only at its source partition: publish the "
                "event again instead."
            )
        try:
            if self.target.subscription.model is not None:
                check_key(entry.key)
            return self._decode(entry.headers, entry.value)
        except InvalidEventError:
            raise
        except Exception as error:
            raise explain(error, entry.value) from error

    def _call(self, event: Any, entry: RetryEntry) -> Awaitable[None]:
        if not self._wants_context:
            return self._handle([event] if self._is_batch else event)
        context = context_of(entry)
        if self._is_batch:
            return self._handle([event], [context])
        return self._handle(event, context)
