"""The events of the seed as they stand on the wire: plain JSON objects with camelCase names.

Any client can write and read them; unknown fields are accepted and ignored, so that a publisher
may add a field before its consumers know it. Each event names the field that keys it: events with
the same key stay in order.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

#: Identifiers are not empty, and short enough for a key, a column and a log line.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=10_000)]


class Event(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Base of all events."""

    #: Attribute whose value is the record's key on Kafka, in UTF-8.
    key_field: ClassVar[str] = "user_id"

    @property
    def key(self) -> bytes:
        """The record's key: the UTF-8 bytes of the key field."""
        value: str = getattr(self, self.key_field)
        return value.encode()


class UserRegistered(Event, frozen=True, kw_only=True):
    """A user signed up (topic ``auth.registered``).

    Wire: ``{"userId": "12345", "email": "user@example.com"}``; keyed by ``userId``.
    """

    user_id: Id
    email: Annotated[str, msgspec.Meta(min_length=3, max_length=320, pattern="@")]


class OrderCreated(Event, frozen=True, kw_only=True):
    """A user placed an order (topic ``order.created``).

    Wire: ``{"orderId": "o-1", "userId": "12345", "amountCents": 1999}``; keyed by ``userId``.
    """

    order_id: Id
    user_id: Id
    amount_cents: Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class NotificationSent(Event, frozen=True, kw_only=True):
    """A message for one user (topics ``user.notification.sent`` and ``notification.fanout``).

    Wire: ``{"userId": "12345", "message": "Welcome"}``; keyed by ``userId``.
    """

    user_id: Id
    message: Text


class ActivityRecorded(Event, frozen=True, kw_only=True):
    """Something a user did (topic ``user.activity``); several services publish it.

    Wire, as in the seed: ``{"event": "page_view", "page": "/home", "userId": "67890"}``.
    ``source`` names the publishing service; events of foreign clients may lack it.
    """

    event: Name
    user_id: Id
    page: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    source: Name = "unknown"
