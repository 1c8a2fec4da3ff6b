"""The SQL agents' handlers, on fakes of the tables."""

from __future__ import annotations

import pytest

from agents.auth_registered import count_registrations, store_users
from agents.order_created import count_orders
from models import OrderCreated, UserRegistered
from tables.identities import identity_of, storable
from trunkline.delivery.handler import Context, Subscription
from trunkline.errors import Permanent

USER = UserRegistered(user_id="u1", email="u1@example.com")
ORDER = OrderCreated(order_id="o1", user_id="u1", amount_cents=1999)
PLACE = Context("t", 1, 2, 3, key=b"u1", attempt=1)


class FakeTable:
    """Stands for Users and for Orders: remembers what it was asked to add."""

    def __init__(self):
        self.added = []

    async def add(self, *what):
        self.added.append(what)

    async def add_registrations(self, *what):
        self.added.append(("registrations", *what))


async def test_hands_each_batch_to_its_table():
    """The batch handlers pass events and contexts on together, in one call."""
    users, orders = FakeTable(), FakeTable()
    await store_users(users)([USER], [PLACE])
    await count_registrations(orders)([USER], [PLACE])
    assert users.added == [([USER], [PLACE])]
    assert orders.added == [("registrations", [USER], [PLACE])]


async def test_hands_each_order_to_its_table():
    """The order handler takes one event and its context."""
    orders = FakeTable()
    await count_orders(orders)(ORDER, PLACE)
    assert orders.added == [(ORDER, PLACE)]


@pytest.mark.parametrize("handler", [store_users(FakeTable()), count_registrations(FakeTable())])
def test_batch_handlers_fit_a_subscription(handler):
    """They can be bound to a topic in batch shape, and want contexts."""
    assert Subscription("auth.registered", UserRegistered, handler, shape="batch").wants_context


def test_the_order_handler_fits_a_concurrent_subscription():
    """It can be bound to a topic with key concurrency, and wants its context."""
    handler = count_orders(FakeTable())
    assert Subscription("order.created", OrderCreated, handler, concurrency=32).wants_context


def test_identity_is_the_place_and_not_the_attempt():
    """Key, headers and attempt do not make another event of it."""
    retried = Context("t", 1, 2, 3, key=None, headers=[("h", b"")], attempt=4)
    assert identity_of(PLACE) == identity_of(retried) == ("t", 1, 2, 3)


@pytest.mark.parametrize("text", ["plain", "Ünïcödé", "😀", "\x01\x7f\u2028", "a" * 256])
def test_other_unusual_text_is_stored_as_it_is(text):
    """Only what a database refuses is refused."""
    assert storable(text, "$.userId", PLACE) == text


@pytest.mark.parametrize(
    ("text", "problem"), [("\0", "a NUL character"), ("é\udcff", "half a surrogate.*character 1")]
)
def test_names_place_and_field_of_text_that_is_refused(text, problem):
    """The message says where, what and what to do, without the text itself."""
    with pytest.raises(Permanent, match=rf"t\[1\] at offset 2: \$\.userId has {problem}"):
        storable(text, "$.userId", PLACE)
