"""In which order locks are taken: what keeps pods from deadlocks and from "database is locked"."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import pytest
from sqlalchemy import text

from models import UserRegistered
from tables.database import Database, metadata
from tables.orders import Orders, Total
from tables.users import Users
from tests.support.postgres import run_sql
from tests.support.waiting import eventually
from trunkline.delivery.handler import Context
from trunkline.errors import TrunklineError

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"


def at(offset):
    return Context("auth.registered", 0, offset, 1)


def user(number):
    return UserRegistered(user_id=f"u{number}", email="u@example.com")


async def until_one_waits(url):
    async def waits():
        return (await run_sql(url, WAITING, name=url.rpartition("/")[2]))[0][0]

    await eventually(waits, what="a connection that waits for a lock")


@pytest.fixture
async def pods(postgresql_url):
    """Two pods on one PostgreSQL, with u1 and u2 known."""
    async with Database(postgresql_url) as one, Database(postgresql_url) as two:
        await Orders(one).add_registrations([user(1), user(2)], [at(1), at(2)])
        yield one, two


async def test_users_are_locked_in_sorted_order(pods, postgresql_url):
    """A batch that waits for its first user holds none of the later ones."""
    one, two = pods

    async def hold_first(connection):
        await connection.execute(text("SELECT 1 FROM user_totals WHERE user_id = 'u1' FOR UPDATE"))
        batch = [user(2), user(1)], [at(3), at(4)]
        adding = asyncio.create_task(Orders(two).add_registrations(*batch))
        await until_one_waits(postgresql_url)
        later = "SELECT 1 FROM user_totals WHERE user_id = 'u2' FOR UPDATE NOWAIT"
        assert len(await run_sql(postgresql_url, later)) == 1
        return adding

    await (await one.write(hold_first))
    assert await Orders(one).totals() == {"u1": Total(2), "u2": Total(2)}


@pytest.mark.parametrize("table", ["registered_users", "applied_events"])
async def test_identities_are_locked_in_sorted_order(pods, postgresql_url, table):
    """A batch that waits for its first record holds none of the later ones."""
    one, two = pods

    def add(numbers):
        batch = [user(n) for n in numbers], [at(n) for n in numbers]
        if table == "applied_events":
            return Orders(two).add_registrations(*batch)
        return Users(two).add(*batch)

    columns = "user_id, email, stored_at_ms" if table == "registered_users" else "applied_at_ms"
    values = "'', '', 0" if table == "registered_users" else "0"
    first = (
        f'INSERT INTO {table} (topic, partition, "offset", timestamp_ms, {columns}) '
        f"VALUES ('auth.registered', 0, 8, 1, {values})"
    )

    async def hold_first(connection):
        await connection.execute(text(first))
        adding = asyncio.create_task(add([9, 8]))
        await until_one_waits(postgresql_url)
        await asyncio.wait_for(add([9]), timeout=30)
        return adding

    await (await one.write(hold_first))


async def test_tables_are_made_by_one_pod_at_a_time(postgresql_url, caplog):
    """A pod that starts while another makes the tables waits for it, and fails at nothing."""
    caplog.set_level(logging.WARNING)
    one, two = Database(postgresql_url), Database(postgresql_url)
    async with one._schema_lock() as connection:
        await connection.run_sync(metadata.create_all)
        starting = asyncio.create_task(two.start())
        await until_one_waits(postgresql_url)
    await starting
    assert not caplog.records
    await asyncio.gather(one.stop(), two.stop())


async def test_a_file_that_is_locked_at_the_start_is_waited_for(tmp_path, caplog, monkeypatch):
    """Another pod that makes the file holds its lock: SQLite tells so at once, not in 5 s."""
    monkeypatch.setattr("tables.preparation.SQLITE_BUSY_TIMEOUT_S", 0)
    other = sqlite3.connect(tmp_path / "new.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new.sqlite'}")
    starting = asyncio.create_task(database.start())
    await eventually(lambda: "locked" in caplog.text or starting.done(), what="it to wait")
    assert not starting.done()
    other.execute("COMMIT")
    await starting
    assert await Users(database).count() == 0
    await database.stop()
    other.close()


async def test_a_file_that_stays_locked_is_told_with_what_to_do(tmp_path, monkeypatch):
    """Waiting for it ends."""
    monkeypatch.setattr("tables.preparation.SQLITE_BUSY_TIMEOUT_S", 0)
    other = sqlite3.connect(tmp_path / "new.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'new.sqlite'}")
    with pytest.raises(TrunklineError, match=r"locked\. Start it \(or end what locks it\)"):
        await database.start(patience_s=0.1)
    other.close()


async def test_a_writer_that_reads_first_has_the_lock_already(sqlite_url):
    """Nobody writes between what a transaction reads and what it writes, so it never runs twice."""
    async with Database(sqlite_url) as one, Database(sqlite_url) as two:
        runs = []

        async def read_then_write(connection):
            runs.append(1)
            await connection.execute(text("SELECT count(*) FROM user_totals"))
            other = asyncio.create_task(Users(two).add([user(1)], [at(1)]))
            await asyncio.wait([other], timeout=0.5)
            await connection.execute(text("INSERT INTO user_totals VALUES ('u1', 0, 1, 5)"))
            return other

        await (await one.write(read_then_write))
        assert runs == [1]
        assert await Users(one).count() == 1
        assert await Orders(one).total("u1") == Total(0, 1, 5)


async def test_a_cancelled_write_gives_sqlites_lock_back(tmp_path):
    """However a write is cut off, in any moment: the next one, of any pod, finds no lock."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'cut.sqlite'}"
    path = tmp_path / "cut.sqlite"
    async with Database(url) as database:
        orders = Orders(database)
        for number in range(60):
            other = sqlite3.connect(path, isolation_level=None, timeout=10)
            locked = number % 2 == 0
            if locked:
                other.execute("BEGIN IMMEDIATE")
            batches = [([user(1)], [at(1 + number * 10 + i)]) for i in range(4)]
            writes = [asyncio.create_task(orders.add_registrations(*batch)) for batch in batches]
            await asyncio.sleep(number % 10 * (0.005 if locked else 0.001))
            for write in writes:
                write.cancel()
            if locked:
                other.execute("COMMIT")
            await asyncio.gather(*writes, return_exceptions=True)
            # Fails with "database is locked" when a write that nobody waits for holds it.
            other.execute("BEGIN IMMEDIATE")
            other.execute("COMMIT")
            other.close()
        await orders.add_registrations([user(2)], [at(0)])
        assert "u2" in await orders.totals()
