"""Several pods on one database, each a process of its own; pods that are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from tables.database import Database
from tables.orders import Orders, Total, applied_events
from tables.users import Users

ROOT = Path(__file__).parents[2]


@contextmanager
def pod(url, events):
    """Run a pod's SQL side in a process, and end it in any case."""
    command = [sys.executable, "-m", "tests.support.sql_pod", url, str(events)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


async def finish(process):
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, err
    assert "locked" not in err
    return out


async def test_pods_that_start_at_once_make_the_tables_together(database_url):
    """Four pods that meet a database without tables (and without a file) all get ready."""
    with (
        pod(database_url, 0) as one,
        pod(database_url, 0) as two,
        pod(database_url, 0) as three,
        pod(database_url, 0) as four,
    ):
        for process in (one, two, three, four):
            assert "ready" in await finish(process)


async def test_starts_at_once_in_one_process_as_well(database_url):
    """Ten databases that start in one loop make the tables once."""
    databases = [Database(database_url) for _ in range(10)]
    await asyncio.gather(*(database.start() for database in databases))
    assert await Users(databases[0]).count() == 0
    await asyncio.gather(*(database.stop() for database in databases))


async def test_pods_that_get_the_same_events_count_each_once(database_url):
    """Four pods that write the same 350 events side by side end with the exact sums."""
    with (
        pod(database_url, 350) as one,
        pod(database_url, 350) as two,
        pod(database_url, 350) as three,
        pod(database_url, 350) as four,
    ):
        for process in (one, two, three, four):
            await finish(process)
    async with Database(database_url) as database:
        assert await Users(database).count() == 350
        totals = await Orders(database).totals()
    assert totals == {f"u{number}": Total(50, 50, 150) for number in range(7)}


async def test_a_killed_pod_leaves_nothing_half_done(database_url):
    """After kill -9 what is applied and what is summed agree; a second pod completes it."""
    async with Database(database_url) as database:
        with pod(database_url, 100_000) as process:
            await until(database, minimum=300)
        applied = await count_applied(database)
        totals = await Orders(database).totals()
        assert applied == sum(total.orders + total.registrations for total in totals.values())
        assert process.returncode == -9
        with pod(database_url, 700) as again:
            await finish(again)
        totals = await Orders(database).totals()
        applied = await count_applied(database)
        assert applied == sum(total.orders + total.registrations for total in totals.values())
        assert applied >= 1400


async def until(database, minimum):
    async with asyncio.timeout(30):
        while await count_applied(database) < minimum:
            await asyncio.sleep(0.02)


async def count_applied(database):
    [row] = await database.read(select(func.count()).select_from(applied_events))
    return row[0]
