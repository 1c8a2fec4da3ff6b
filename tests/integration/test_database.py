"""The SQL side of db-server and engine, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import update

from agents.auth_registered import count_registrations, store_users
from agents.order_created import count_orders
from models import OrderCreated, UserRegistered
from tables.database import Database
from tables.orders import Orders, Total, user_totals
from tables.users import Users
from trunkline.delivery.handler import Context
from trunkline.errors import Permanent


@pytest.fixture
async def database(database_url):
    """A started database of each kind, its tables made."""
    async with Database(database_url) as database:
        yield database


@pytest.fixture
def users(database):
    return Users(database)


@pytest.fixture
def orders(database):
    return Orders(database)


def at(offset, partition=0, topic="auth.registered", timestamp_ms=1_700_000_000_000):
    return Context(topic, partition, offset, timestamp_ms)


def user(number=1):
    return UserRegistered(user_id=f"u{number}", email=f"u{number}@example.com")


def order(user_id="u1", cents=100):
    return OrderCreated(order_id="o-1", user_id=user_id, amount_cents=cents)


async def test_stores_one_row_per_event_however_often_delivered(users):
    """The same records again, alone, in part and beside new ones, add no row."""
    store = store_users(users)
    await store([user(1), user(2)], [at(0), at(1)])
    await store([user(2), user(3)], [at(1), at(2)])
    await store([user(1), user(2), user(3)], [at(0), at(1), at(2)])
    assert await users.count() == 3
    assert [found.email for found in await users.find("u2")] == ["u2@example.com"]


async def test_stores_two_equal_events_as_two_rows(users):
    """Equal values at other offsets, partitions, topics or times are other events."""
    places = [at(0), at(1), at(0, partition=1), at(0, topic="other"), at(0, timestamp_ms=7)]
    await store_users(users)([user()] * len(places), places)
    assert await users.count() == len(places) == len(await users.find("u1"))


async def test_takes_a_batch_with_duplicates_inside(users, orders):
    """One record twice in one batch is one event."""
    events, places = [user(1), user(2), user(1)], [at(0), at(1), at(0)]
    await store_users(users)(events, places)
    await count_registrations(orders)(events, places)
    assert await users.count() == 2
    assert await orders.totals() == {"u1": Total(1), "u2": Total(1)}


async def test_takes_a_batch_of_5000(users, orders):
    """A batch beyond any limit of bind variables goes in whole, in any order of its records."""
    places = [at(offset) for offset in reversed(range(5000))]
    events = [user(place.offset % 700) for place in places]
    await store_users(users)(events, places)
    await count_registrations(orders)(events, places)
    assert await users.count() == 5000
    totals = await orders.totals()
    assert len(totals) == 700
    assert sum(total.registrations for total in totals.values()) == 5000


async def test_takes_an_empty_batch(users, orders):
    """Nothing to store is no error."""
    await store_users(users)([], [])
    await count_registrations(orders)([], [])
    assert await users.count() == 0


async def test_adds_each_order_once_however_often_delivered(orders):
    """Redelivered orders leave the total as it is; equal orders at other offsets add to it."""
    count = count_orders(orders)
    for offset in (0, 1, 0, 1, 2):
        await count(order(cents=250), at(offset, topic="order.created"))
    assert await orders.total("u1") == Total(orders=3, total_cents=750)
    assert await orders.total("unknown") == Total()


async def test_keeps_registrations_and_orders_of_a_user_side_by_side(orders):
    """Both topics add to the user's row without touching the other's columns."""
    await count_registrations(orders)([user(1), user(2), user(1)], [at(0), at(1), at(2)])
    await count_orders(orders)(order(), at(0, topic="order.created"))
    await count_registrations(orders)([user(1)], [at(2)])
    assert await orders.totals() == {"u1": Total(2, 1, 100), "u2": Total(1)}


async def test_totals_are_right_under_concurrent_redelivery(orders):
    """Each of 100 orders delivered to 4 handlers at once is added once."""
    count = count_orders(orders)

    async def deliver_all():
        for offset in range(100):
            await count(order(f"u{offset % 3}"), at(offset, topic="order.created"))

    await asyncio.gather(*(deliver_all() for _ in range(4)))
    totals = await orders.totals()
    assert sorted(total.orders for total in totals.values()) == [33, 33, 34]
    assert sum(total.total_cents for total in totals.values()) == 10_000


async def test_overlapping_batches_and_orders_neither_deadlock_nor_count_twice(users, orders):
    """Batches with the same users and records in opposite orders run side by side."""
    places = [at(offset) for offset in range(200)]
    events = [user(place.offset % 20) for place in places]
    work = []
    for _ in range(4):
        work += [
            count_registrations(orders)(events, places),
            count_registrations(orders)(events[::-1], places[::-1]),
            store_users(users)(events[::-1], places[::-1]),
            store_users(users)(events, places),
            *(
                count_orders(orders)(order(f"u{n}"), at(n, topic="order.created"))
                for n in range(20)
            ),
        ]
    await asyncio.gather(*work)
    assert await users.count() == 200
    assert set((await orders.totals()).values()) == {Total(10, 1, 100)}


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
async def test_refuses_text_that_can_never_be_stored(users, orders, bad):
    """A NUL character or half a surrogate pair is permanent, and the batch leaves nothing."""
    evil = UserRegistered(user_id=bad, email="u@example.com")
    with pytest.raises(Permanent, match=r"auth.registered\[0\] at offset 8: \$.userId has"):
        await store_users(users)([user(), evil], [at(7), at(8)])
    with pytest.raises(Permanent, match="which no database can store"):
        await count_registrations(orders)([user(), evil], [at(7), at(8)])
    with pytest.raises(Permanent, match="which no database can store"):
        await count_orders(orders)(order(bad), at(0))
    with pytest.raises(Permanent, match=r"\$.email"):
        await store_users(users)([UserRegistered(user_id="u", email=f"@{bad}")], [at(7)])
    assert await users.count() == 0
    assert await orders.totals() == {}


async def test_refuses_an_order_that_overflows_the_total(database, orders):
    """Beyond 64 bits an order is permanent; the total stays, and so does room for smaller ones."""
    count = count_orders(orders)
    await count(order(cents=0), at(0))
    almost_full = update(user_totals).values(total_cents=2**63 - 808)
    await database.write(lambda connection: connection.execute(almost_full))
    with pytest.raises(Permanent, match=r"at offset 1: adding 1000 cents .* 64 bits"):
        await count(order(cents=1000), at(1))
    await count(order(cents=807), at(2))
    assert await orders.total("u1") == Total(orders=2, total_cents=2**63 - 1)
    with pytest.raises(Permanent):
        await count(order(cents=1), at(3))


async def test_forgets_old_identities_when_told_to(orders):
    """Pruning takes the events that are older than told, and leaves the totals."""
    places = [at(offset) for offset in range(5100)]
    await count_registrations(orders)([user()] * 5100, places)
    assert await orders.prune(older_than_s=3600) == 0
    assert await orders.prune(older_than_s=-60) == 5100
    assert await orders.total("u1") == Total(5100)
    await count_registrations(orders)([user()], [at(0)])
    assert await orders.total("u1") == Total(5101)


async def test_keeps_everything_when_started_again(database_url):
    """Stopping and starting, in the same object or a new one, finds the same rows."""
    database = Database(database_url)
    for n in range(2):
        async with database:
            await Users(database).add([user(n)], [at(n)])
    async with Database(database_url) as again:
        assert await Users(again).count() == 2
