"""A database that is away: every write says so with DependencyDown, and goes on when it is back.

The tables write through ``Database.write`` (transactions) and ``Database.execute`` (one statement).
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import OrderCreated, UserRegistered
from tables import engines
from tables.database import Database
from tables.orders import Orders, Total
from tables.users import Users
from tests.support.own_postgres import own_postgres_server
from tests.support.postgres import PASSWORD, run_sql
from tests.support.waiting import eventually
from trunkline.delivery.breaker import Breaker
from trunkline.delivery.handler import Context
from trunkline.delivery.limits import BreakerLimits
from trunkline.errors import DependencyDown, Permanent

SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND state = 'active'"


@pytest.fixture(scope="module")
def _server():
    with own_postgres_server() as server:
        yield server


@pytest.fixture
def server(_server):
    """A PostgreSQL of this file's own that runs; it may be stopped and frozen."""
    yield _server
    _server.thaw()


@pytest.fixture
async def database(server, monkeypatch):
    """Its database, with short timeouts."""
    monkeypatch.setattr(engines, "STATEMENT_TIMEOUT_S", 5.0)
    async with Database(server.url) as database:
        yield database


def user(number):
    return UserRegistered(user_id=f"u{number}", email="u@example.com")


def place(offset, topic="auth.registered"):
    return Context(topic, 0, offset, 1)


def run(statement):
    return lambda connection: connection.execute(text(statement))


def assert_says(error, database):
    """The message says which database, that events wait, and nothing secret; the cause is kept."""
    message = str(error)
    assert f"The database {database} cannot be used: " in message
    assert "Events wait" in message
    assert PASSWORD not in message
    assert "p%40ss" not in message
    assert error.__cause__ is not None


async def test_every_write_waits_for_a_server_that_was_stopped(server, database):
    """Batches, single events and queries; when it is back they go on, nothing is there twice."""
    users, orders = Users(database), Orders(database)
    before = await users.count()
    event = OrderCreated(order_id="o", user_id="stopped", amount_cents=5)
    deliveries = [
        lambda: users.add([user(1)], [place(1000)]),
        lambda: orders.add_registrations([user("-stopped")], [place(1000)]),
        lambda: orders.add(event, place(1000, "order.created")),
        users.count,
    ]
    await asyncio.to_thread(server.stop)
    for deliver in deliveries:
        with pytest.raises(DependencyDown, match="Connect call failed") as caught:
            await deliver()
        assert_says(caught.value, database)
    await asyncio.to_thread(server.start)
    for deliver in deliveries * 2:
        await deliver()
    assert await users.count() == before + 1
    assert await orders.total("u-stopped") == Total(1)
    assert await orders.total("stopped") == Total(0, 1, 5)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_stops_in_the_middle_of_a_statement(server, monkeypatch, mode):
    """It shuts down or crashes: the event is not to blame."""
    monkeypatch.setattr(engines, "STATEMENT_TIMEOUT_S", 60.0)
    async with Database(server.url) as database:
        writing = asyncio.create_task(database.write(run("SELECT pg_sleep(50)")))
        await eventually(lambda: run_sql(server.url, SLEEPING), what="the statement to run")
        await asyncio.to_thread(server.stop, mode)
        try:
            with pytest.raises(DependencyDown) as caught:
                await writing
            assert_says(caught.value, database)
        finally:
            await asyncio.to_thread(server.start)
        await database.write(run("SELECT 1"))


async def test_a_server_without_a_free_connection(server, database):
    """Too many clients: those who get none wait, the others go on."""
    await asyncio.to_thread(server.stop)
    few = "-c max_connections=4 -c max_wal_senders=0 -c superuser_reserved_connections=0"
    await asyncio.to_thread(server.start, few)
    try:
        write = database.write
        outcomes = await asyncio.gather(
            *(write(run("SELECT pg_sleep(0.3)")) for _ in range(8)), return_exceptions=True
        )
    finally:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert 0 < len(refused) < 8
    assert {type(error) for error in refused} == {DependencyDown}
    assert "too many clients" in str(refused[0])


async def test_a_pod_without_a_free_connection(server, monkeypatch):
    """All of the pool's are busy for too long: the event that got none is not to blame."""
    monkeypatch.setattr(engines, "POOL_SIZE", 1)
    monkeypatch.setattr(engines, "POOL_TIMEOUT_S", 0.1)
    async with Database(server.url) as database:
        holding, release = asyncio.Event(), asyncio.Event()

        async def hold(connection):
            holding.set()
            await release.wait()

        holder = asyncio.create_task(database.write(hold))
        await holding.wait()
        with pytest.raises(DependencyDown, match="QueuePool limit") as caught:
            await database.write(run("SELECT 1"))
        assert_says(caught.value, database)
        release.set()
        await holder
        await database.write(run("SELECT 1"))


async def test_a_server_that_hangs(server, monkeypatch):
    """It takes connections and answers nothing: before a statement, and in the middle of one."""
    monkeypatch.setattr(engines, "STATEMENT_TIMEOUT_S", 5.0)
    async with Database(server.url) as database:
        writing = asyncio.create_task(database.write(run("SELECT pg_sleep(4.5)")))
        await eventually(lambda: run_sql(server.url, SLEEPING), what="the statement to run")
        server.freeze()
        for attempt in (writing, database.write(run("SELECT 1"))):
            with pytest.raises(DependencyDown, match="does not answer in time") as caught:
                await attempt
            assert_says(caught.value, database)
        server.thaw()
        await eventually(lambda: _writes(database), what="it to answer again")


async def _writes(database):
    try:
        await database.write(run("SELECT 1"))
    except DependencyDown:
        return False
    return True


async def test_a_statement_that_takes_too_long_is_no_outage(database):
    """The server answers others, so this event takes its usual way: no probe for ever."""
    with pytest.raises(TimeoutError):
        await database.write(run("SELECT pg_sleep(30)"))


async def test_refused_logins_are_an_outage(server, database):
    """A password that was changed under a running pod: its events wait, none dies."""
    other = Database(server.url.replace("trunkline:", "nobody:"))
    with pytest.raises(DependencyDown, match="password authentication failed") as caught:
        await other.write(run("SELECT 1"))
    assert_says(caught.value, other)
    await other.stop()


async def test_data_errors_are_still_permanent_and_mistakes_still_retried(database):
    """Neither opens a breaker."""
    with pytest.raises(Permanent):
        await database.write(run("SELECT 1 / 0"))
    with pytest.raises(DBAPIError):
        await database.write(run("SELECT * FROM no_such_table"))


async def test_a_breaker_holds_the_events_until_the_server_is_back(server, database):
    """The two together: nobody hammers a server that is away, and every event is stored."""
    users = Users(database)
    before = await users.count()
    limits = BreakerLimits(first_pause_s=0.05, longest_pause_s=0.2)
    breaker = Breaker("auth.registered", limits, lambda: 0)
    attempts = []

    async def deliver(offset):
        while True:
            async with breaker.admission():
                attempts.append(offset)
                try:
                    await users.add([user(offset)], [place(offset)])
                except DependencyDown as error:
                    breaker.takes(error)
                else:
                    breaker.succeeded()
                    return

    await asyncio.to_thread(server.stop)
    tasks = [asyncio.create_task(deliver(2000 + number)) for number in range(20)]
    await eventually(lambda: breaker.stats()["opened"], what="the breaker to open")
    await eventually(lambda: len(attempts) > 22, what="a few probes")
    assert len(attempts) < 40
    await asyncio.to_thread(server.start)
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=30)
    assert await users.count() == before + 20
    assert breaker.stats()["state"] == "closed"


async def test_an_sqlite_file_that_stays_locked(sqlite_url, monkeypatch):
    """Another process holds the lock beyond the timeout, and lets it go."""
    monkeypatch.setattr(engines, "SQLITE_BUSY_TIMEOUT_S", 0.05)
    async with Database(sqlite_url) as one, Database(sqlite_url) as other:
        holding, release = asyncio.Event(), asyncio.Event()

        async def hold(connection):
            holding.set()
            await release.wait()

        holder = asyncio.create_task(one.write(hold))
        await holding.wait()
        with pytest.raises(DependencyDown, match="database is locked") as caught:
            await Users(other).add([user(1)], [place(0)])
        assert_says(caught.value, other)
        release.set()
        await holder
        await Users(other).add([user(1)], [place(0)])
        assert await Users(other).count() == 1


async def test_an_sqlite_disk_that_is_full(sqlite_url):
    """What does not fit now may fit later; nothing of it is there."""
    async with Database(sqlite_url) as database:

        async def fill(connection):
            await connection.execute(text("PRAGMA max_page_count = 1"))
            try:
                row = "INSERT INTO user_totals VALUES (:user, 1, 1, 1)"
                await connection.execute(text(row), {"user": "x" * 1_000_000})
            finally:
                await connection.execute(text("PRAGMA max_page_count = 1000000"))

        with pytest.raises(DependencyDown, match="disk is full") as caught:
            await database.write(fill)
        assert_says(caught.value, database)
        assert await Orders(database).totals() == {}


async def test_an_sqlite_file_that_is_damaged(sqlite_url, monkeypatch):
    """Somebody wrote over it under a running pod: events wait for the operator."""
    async with Database(sqlite_url) as database:
        await Users(database).add([user(1)], [place(0)])
        path = str(database).removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await database.stop()  # no connection has the file open or its pages in memory
        with open(path, "r+b") as file:  # noqa: ASYNC230, PTH123  # a few bytes, in a test
            file.write(b"no database")
        with pytest.raises(DependencyDown, match="not a database"):
            await Users(database).add([user(2)], [place(1)])


async def test_an_sqlite_folder_that_is_gone(sqlite_url, tmp_path):
    """A disk that is not mounted: connecting fails, events wait."""
    async with Database(sqlite_url) as database:
        await database.stop()
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        with pytest.raises(DependencyDown, match="unable to open") as caught:
            await Users(database).add([user(1)], [place(0)])
        assert_says(caught.value, database)
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        await Users(database).add([user(1)], [place(0)])
        assert await Users(database).count() == 1
