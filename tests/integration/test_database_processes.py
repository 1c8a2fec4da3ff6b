"""Several pods on one database, each a process of its own; pods that are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import func, select

from tables.database import Database
from tables.orders import Orders, Total, applied_events
from tables.users import Users
from tests.support.waiting import eventually

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
    # A pod that starts beside another may have to wait for the file; no write may.
    locked = [line for line in err.splitlines() if "locked" in line]
    assert all(line.endswith(": waiting.") for line in locked), err
    return out


async def test_pods_that_start_at_once_make_the_tables_together(database_url):
    """Two pods that meet a database without tables (and without a file) both get ready."""
    with ExitStack() as stack:
        for process in [stack.enter_context(pod(database_url, 0)) for _ in range(2)]:
            assert "ready" in await finish(process)


async def test_starts_at_once_in_one_process_as_well(database_url):
    """Ten pods' worth of databases that start in one loop make the tables once."""
    databases = [Database(database_url) for _ in range(10)]
    await asyncio.gather(*(database.start() for database in databases))
    assert await Users(databases[0]).count() == 0
    await asyncio.gather(*(database.stop() for database in databases))


async def test_pods_that_get_the_same_events_count_each_once(database_url):
    """Four pods that write the same 140 events side by side end with the exact sums."""
    with ExitStack() as stack:
        for process in [stack.enter_context(pod(database_url, 140)) for _ in range(4)]:
            await finish(process)
    async with Database(database_url) as database:
        assert await Users(database).count() == 140
        totals = await Orders(database).totals()
    assert totals == {f"u{number}": Total(20, 20, 60) for number in range(7)}


async def test_a_killed_pod_leaves_nothing_half_done(database_url):
    """After kill -9 what is applied and what is summed agree; a second pod completes it."""
    async with Database(database_url) as database:
        with pod(database_url, 100_000) as process:

            async def in_the_middle():
                return await count_applied(database) >= 300

            await eventually(in_the_middle, timeout_s=30, what="300 applied events")
        assert process.returncode == -9

        async def what_is_applied_is_summed():
            # Two readings: a commit that was on its way when the pod died may come between them.
            applied = await count_applied(database)
            totals = await Orders(database).totals()
            return applied == sum(t.orders + t.registrations for t in totals.values())

        await eventually(what_is_applied_is_summed, 10)
        with pod(database_url, 700) as again:
            await finish(again)
        totals = await Orders(database).totals()
        applied = await count_applied(database)
        assert applied == sum(total.orders + total.registrations for total in totals.values())
        assert applied >= 1400


async def count_applied(database):
    [row] = await database.read(select(func.count()).select_from(applied_events))
    return row[0]
