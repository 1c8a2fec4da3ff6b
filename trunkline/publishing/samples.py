"""Sample events of the declared models, for trying things out and for load."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import msgspec

from models import ActivityRecorded, Event, NotificationSent, OrderCreated, UserRegistered
from trunkline.errors import ConfigurationError
from trunkline.topology import Topic

_NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "tim", "leslie", "john")
_PAGES = ("/home", "/search", "/products/1207", "/cart", "/checkout", "/orders", "/help")
_ACTIVITIES = ("page_view", "app_launch", "auth_success", "search", "page_view", "logout")


def sample_events(topic: Topic, count: int, users: int | None = None) -> Iterator[bytes]:
    """Yield events as JSON, each of another user, or of K users in turn.

    Raises:
        ConfigurationError: There is no sample for the topic's model.

    """
    make = _SAMPLES.get(topic.model) if topic.model else None
    if make is None:
        raise ConfigurationError(
            f"There are no sample events for {topic.name}: give events with --event, a file or '-'."
        )
    run = uuid.uuid4().hex[:8]
    for number in range(count):
        user = number % users if users else number
        yield msgspec.json.encode(make(f"{10_000 + user}", number, run))


def _registered(user: str, number: int, run: str) -> Event:
    return UserRegistered(user_id=user, email=f"{_NAMES[number % 10]}.{user}@example.com")


def _ordered(user: str, number: int, run: str) -> Event:
    # Spread over one cent to a thousand, without randomness: 7919 is prime to 100,000.
    cents = number * 7919 % 100_000 + 1
    return OrderCreated(order_id=f"o-{run}-{number}", user_id=user, amount_cents=cents)


def _notified(user: str, number: int, run: str) -> Event:
    return NotificationSent(user_id=user, message=f"Your order o-{run}-{number} has been shipped.")


def _acted(user: str, number: int, run: str) -> Event:
    activity = _ACTIVITIES[number % len(_ACTIVITIES)]
    page = _PAGES[number % len(_PAGES)] if activity == "page_view" else None
    return ActivityRecorded(event=activity, user_id=user, page=page)


_SAMPLES: dict[type[Event], Callable[[str, int, str], Event]] = {
    UserRegistered: _registered,
    OrderCreated: _ordered,
    NotificationSent: _notified,
    ActivityRecorded: _acted,
}
