"""The handler shape: what a user of Trunkline writes, and how it is bound to a topic.

A handler is an ``async def`` that takes one event, or a batch of events of one partition, and
returns nothing. Returning means "handled": only then may the offset be committed. Raising means
"failed": the event is handed over to the group's failures topic, and the next one is handled.

    async def store(event: UserRegistered) -> None: ...
    async def store(event: UserRegistered, context: Context) -> None: ...
    async def store(events: list[UserRegistered]) -> None: ...
    async def store(events: list[UserRegistered], contexts: list[Context]) -> None: ...
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from models import Event
from trunkline.cloudevents import kafka as cloudevents
from trunkline.cloudevents.event import CloudEvent
from trunkline.errors import ConfigurationError

Headers = Sequence[tuple[str, bytes | None]]
Handler = Callable[..., Awaitable[None]]
Shape = Literal["one", "batch"]

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Context(msgspec.Struct, frozen=True):
    """Where an event came from, and how often it was tried.

    ``topic``, ``partition``, ``offset`` and ``timestamp_ms`` are those of the record that was
    published: they stay the same through every redelivery, retry and redrive, so they identify the
    event. Two equal events are two events. The timestamp is part of the identity because a topic
    that was deleted and made anew counts its offsets from 0 again.

    Attributes:
        key: The record's key, or None.
        value: The record's value as it came, or None for a tombstone.
        headers: The record's headers as they were published.
        attempt: 1 for the first time that this group tries the event; a redriven one begins anew.
        first_failed_at_ms: When the first attempt failed, None while none has.
        redrives: How often the event was brought back from dead letters.

    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    attempt: int = 1
    first_failed_at_ms: int | None = None
    redrives: int = 0

    @property
    def traceparent(self) -> str | None:
        """The event's W3C trace context, None when its publisher sent none that can be read."""
        for name, value in self.headers:
            if name.lower() == "traceparent" and value:
                text = value.decode(errors="replace")
                return text if _TRACEPARENT.match(text) else None
        return None

    @property
    def cloud_event(self) -> CloudEvent | None:
        """What the event says of itself as a CloudEvent: id, source, type, time, …; else None.

        The handler gets the data, in either mode; :attr:`value` is the record's, as it came.
        """
        envelope = cloudevents.read(self.headers, self.value)
        return None if envelope is None else envelope.event

    @property
    def trace_id(self) -> str | None:
        """The trace's 32 hexadecimal digits, None without a trace."""
        parent = self.traceparent
        return None if parent is None else parent.split("-")[1]


@dataclass(frozen=True)
class Subscription:
    """A handler bound to a topic.

    Attributes:
        topic: Real name of the topic.
        model: What the record's value is decoded into; None gives the handler None for each event,
            and the records themselves in the contexts.
        handler: See this module's text.
        shape: ``one`` event or a ``batch`` of events of one partition at a time.
        concurrency: How many keys of a partition are handled at once (``one`` only). Events of one
            key are handled strictly one after the other; events without a key go freely when this
            is more than 1. With 1, a partition's events are handled in the order of offsets.
        max_batch: Most events that a batch handler gets at once.

    """

    topic: str
    model: type[Event] | None
    handler: Handler
    shape: Shape = "one"
    concurrency: int = 1
    max_batch: int = 500

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.max_batch < 1:
            raise ConfigurationError(
                f"Subscription to {self.topic}: concurrency ({self.concurrency}) and max_batch "
                f"({self.max_batch}) are at least 1."
            )
        if self.shape == "batch" and self.concurrency > 1:
            raise ConfigurationError(
                f"Subscription to {self.topic}: a batch handler takes a partition's events in "
                "order, so its concurrency is 1."
            )
        if not inspect.iscoroutinefunction(_call_of(self.handler)):
            raise ConfigurationError(
                f"The handler of {self.topic}, {self.handler!r}, must be an 'async def'."
            )
        if self._parameters not in (1, 2):
            raise ConfigurationError(
                f"The handler of {self.topic}, {self.handler!r}, must take an event (or a list of "
                f"events), and a context if it wants one; it takes {self._parameters} arguments."
            )

    @property
    def wants_context(self) -> bool:
        """Whether the handler takes a second argument."""
        return self._parameters == 2

    @property
    def _parameters(self) -> int:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self.handler).parameters.values()
        return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _call_of(handler: Handler) -> Any:
    """Return what really runs: a callable object's ``__call__``, else the function itself."""
    if inspect.isfunction(handler) or inspect.ismethod(handler):
        return handler
    return getattr(handler, "func", None) or type(handler).__call__
