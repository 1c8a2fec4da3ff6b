"""The wire contract: what an event looks like on a topic, as plain JSON."""

from models.events import (
    ActivityRecorded,
    Event,
    NotificationSent,
    OrderCreated,
    UserRegistered,
)

__all__ = ["ActivityRecorded", "Event", "NotificationSent", "OrderCreated", "UserRegistered"]
