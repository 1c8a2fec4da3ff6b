"""Events that patterns publish: every one of another user, so that none can stand for another."""

from __future__ import annotations

from models import NotificationSent, OrderCreated, UserRegistered


def registration(number: int) -> UserRegistered:
    """Return the registration of user ``number``."""
    return UserRegistered(user_id=f"user-{number}", email=f"user-{number}@example.com")


def registrations(first: int, count: int) -> list[UserRegistered]:
    """Return registrations of users from number ``first`` on."""
    return [registration(number) for number in range(first, first + count)]


def orders(count: int) -> list[OrderCreated]:
    """Return an order of each of so many users."""
    return [
        OrderCreated(order_id=f"order-{number}", user_id=f"user-{number}", amount_cents=number)
        for number in range(count)
    ]


def notifications(user_id: str, count: int) -> list[NotificationSent]:
    """Return numbered messages for one user."""
    return [NotificationSent(user_id=user_id, message=f"{number}") for number in range(count)]
