"""What goes wrong with a database: at the start, and in the middle of a transaction."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import OrderCreated, UserRegistered
from tables.database import Database
from tables.orders import Orders, Total
from tables.users import Users
from tests.support.postgres import PASSWORD, run_sql, with_database
from tests.support.waiting import eventually
from trunkline.delivery.handler import Context
from trunkline.errors import ConfigurationError, DependencyDown, TrunklineError

LOCK = "SELECT * FROM user_totals WHERE user_id = 'u1' FOR UPDATE"
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"


def at(offset):
    return Context("auth.registered", 0, offset, 1)


def user(number):
    return UserRegistered(user_id=f"u{number}", email="u@example.com")


def order(user_id):
    return OrderCreated(order_id="o", user_id=user_id, amount_cents=5)


async def blocked_pid(url):
    """Wait until a connection waits for a row's lock, and return its process id."""
    name = url.rpartition("/")[2]
    rows = await eventually(lambda: run_sql(url, BLOCKED, name=name), what="a blocked connection")
    return rows[0][0]


@pytest.fixture
async def orders(postgresql_url):
    """PostgreSQL's orders, with a total for u1 and an order and a registration applied."""
    async with Database(postgresql_url) as database:
        orders = Orders(database)
        await orders.add_registrations([user(1)], [at(0)])
        yield orders


@pytest.mark.parametrize("shape", ["batch", "one"])
async def test_a_connection_killed_half_way_leaves_nothing(orders, postgresql_url, shape):
    """The server ends a transaction between identities and sums: it is raised, then redone."""

    def deliver():
        if shape == "one":
            return orders.add(order("u1"), Context("order.created", 0, 0, 1))
        return orders.add_registrations([user(0), user(1), user(2)], [at(1), at(2), at(3)])

    async with Database(postgresql_url) as other:

        async def hold_while_killing(connection):
            await connection.execute(text(LOCK))
            delivery = asyncio.create_task(deliver())
            pid = await blocked_pid(postgresql_url)
            await run_sql(postgresql_url, "SELECT pg_terminate_backend(:pid)", pid=pid)
            with pytest.raises(DependencyDown, match="terminating connection"):
                await delivery

        await other.write(hold_while_killing)
    assert await orders.totals() == {"u1": Total(1)}
    await deliver()
    after = await orders.totals()
    if shape == "one":
        assert after == {"u1": Total(1, 1, 5)}
    else:
        assert after == {"u0": Total(1), "u1": Total(2), "u2": Total(1)}


async def test_a_cancelled_handler_leaves_nothing(orders, postgresql_url):
    """A rebalance cancels a handler that waits for a lock: its batch is redone from nothing."""
    async with Database(postgresql_url) as other:

        async def hold_while_cancelling(connection):
            await connection.execute(text(LOCK))
            batch = [user(0), user(1)], [at(1), at(2)]
            delivery = asyncio.create_task(orders.add_registrations(*batch))
            await blocked_pid(postgresql_url)
            delivery.cancel()
            with pytest.raises(asyncio.CancelledError):
                await delivery

        await other.write(hold_while_cancelling)
    assert await orders.totals() == {"u1": Total(1)}
    await orders.add_registrations([user(0), user(1)], [at(1), at(2)])
    assert await orders.totals() == {"u0": Total(1), "u1": Total(2)}


async def test_a_deadlock_is_tried_again(orders, postgresql_url):
    """PostgreSQL ends one of two transactions that wait for each other; both get done."""
    await orders.add_registrations([user(2)], [at(1)])
    order_of = {"first": ["u1", "u2"], "second": ["u2", "u1"]}
    met = asyncio.Barrier(2)
    tries = []

    async with Database(postgresql_url) as database:

        async def add_crosswise(name):
            first, second = order_of[name]

            async def work(connection):
                tries.append(name)
                statement = text("UPDATE user_totals SET orders = orders + 1 WHERE user_id = :u")
                await connection.execute(statement, {"u": first})
                if len(tries) <= 2:
                    await met.wait()
                await connection.execute(statement, {"u": second})

            await database.write(work)

        await asyncio.gather(add_crosswise("first"), add_crosswise("second"))
    assert len(tries) == 3
    assert {total.orders for total in (await orders.totals()).values()} == {2}


async def test_an_error_half_way_rolls_back(database_url):
    """Whatever ends a transaction's work early, nothing of it stays."""
    async with Database(database_url) as database:

        async def half(connection):
            row = "INSERT INTO user_totals VALUES ('u1', 1, 1, 1)"
            await connection.execute(text(row))
            raise RuntimeError("half way")

        with pytest.raises(RuntimeError, match="half way"):
            await database.write(half)
        assert await Orders(database).totals() == {}


async def test_errors_of_statements_show_no_user_data(database_url):
    """Values stay out of errors, which go to logs and headers."""
    async with Database(database_url) as database:
        statement = text("INSERT INTO no_such_table VALUES (:email)")
        with pytest.raises(DBAPIError) as caught:
            await database.write(
                lambda connection: connection.execute(statement, {"email": "me@example.com"})
            )
    assert "me@example.com" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("trunkline:", "nobody:"), "password"),
        (lambda url: with_database(url, "no_such_name"), "there is no such database"),
        (lambda url: f"{url}?no_such_option=1", "option"),
        (lambda url: f"{url}?sslmode=no_such_mode", "cannot be read"),
    ],
)
async def test_says_what_is_wrong_with_the_url(postgresql_url, change, reason):
    """A mistake ends the start at once, with its reason and without the password."""
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=reason) as caught:
        await Database(change(postgresql_url)).start(patience_s=60)
    assert time.monotonic() - started < 20
    assert PASSWORD not in str(caught.value)
    assert "p%40ss" not in str(caught.value)


async def test_waits_for_a_server_that_is_away_then_says_so():
    """Nobody listens: the start waits as long as told, then names the place, not the password."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://me:secret@127.0.0.1:{unused.getsockname()[1]}/db"
        with pytest.raises(TrunklineError, match=r"postgresql://127\.0\.0\.1.*/db cannot be") as e:
            await Database(url).start(patience_s=0.3)
    assert not isinstance(e.value, ConfigurationError)
    assert "secret" not in str(e.value)


async def test_refuses_a_database_that_is_not_utf8(postgres):
    """A database that cannot store every event is refused at the start."""
    await run_sql(postgres, "DROP DATABASE IF EXISTS latin")
    await run_sql(postgres, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(ConfigurationError, match="LATIN1"):
        await Database(with_database(postgres, "latin")).start()
    await run_sql(postgres, "DROP DATABASE latin")


@pytest.mark.parametrize("case", ["folder is a file", "file is a folder", "not a database"])
async def test_refuses_a_file_that_cannot_be_written(tmp_path, case):
    """The start names the SQLite file and what to do."""
    path = tmp_path / "db"
    if case == "folder is a file":
        path.write_text("x")
        path /= "test.sqlite"
    elif case == "file is a folder":
        path.mkdir()
    else:
        path.write_text("no SQLite header at all" * 100)
    with pytest.raises(ConfigurationError, match=f"The SQLite file {path} cannot be written"):
        await Database(f"sqlite:///{path}").start()


async def test_waits_for_another_writer_of_the_file(sqlite_url):
    """A writer that holds SQLite's lock for a while is waited for, not reported."""
    async with Database(sqlite_url) as one, Database(sqlite_url) as other:
        holding, release = asyncio.Event(), asyncio.Event()

        async def hold(connection):
            holding.set()
            await release.wait()

        holder = asyncio.create_task(one.write(hold))
        await holding.wait()
        storing = asyncio.create_task(Users(other).add([user(1)], [at(0)]))
        done, _ = await asyncio.wait([storing], timeout=0.5)
        assert not done
        release.set()
        await asyncio.gather(holder, storing)
        assert await Users(other).count() == 1
