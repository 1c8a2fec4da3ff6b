"""The index of dead letters on SQLite and on a real PostgreSQL: several pods, and what fails."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest
from sqlalchemy import text

from agents.dead_letter_index import apply_actions, index_dead_letters
from tables.database import Database
from tables.dead_letter_queries import DeadLetterQueries
from tables.dead_letters import DeadLetters
from tests.support.dead_letters import trunkline_headers
from tests.support.postgres import run_sql
from tests.support.waiting import eventually
from trunkline.dead_letters.actions import Action, action_record
from trunkline.dead_letters.index import Place
from trunkline.delivery.handler import Context
from trunkline.errors import DependencyDown
from trunkline.topology import Topology

TOPIC = "dlq.order.created"
AT_MS = 1_700_000_000_000
CAUSES = 3
#: Of any table, so that the index's writers wait for it.
BLOCK = "LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE"
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name"


def letter(partition, offset):
    headers = trunkline_headers(exception=f"shop.E{offset % CAUSES}")
    return Context(TOPIC, partition, offset, AT_MS, b"k", b"{}", headers)


def action(number, partition, offset, kind):
    record = action_record("a", f"{TOPIC}[{partition}]@{offset}", Action(kind, AT_MS, AT_MS))
    return Context("actions", 0, number, AT_MS, record.key, record.value)


class Pod:
    """The handlers of one pod of the dlq service."""

    def __init__(self, database):
        table = DeadLetters(database)
        self._index, self._apply = index_dead_letters(table, Topology()), apply_actions(table)
        self.queries = DeadLetterQueries(database)
        self.database = database

    async def letters(self, contexts):
        await self._index([None] * len(contexts), contexts)

    async def actions(self, contexts):
        await self._apply([None] * len(contexts), contexts)

    async def counts(self):
        rows = await self.queries.fingerprints()
        return {row.exception: (row.count, row.open, row.redriven, row.discarded) for row in rows}


@pytest.fixture
async def pod(database_url):
    async with Database(database_url) as database:
        yield Pod(database)


async def test_pods_that_deliver_the_same_at_once_count_it_once(database_url):
    """Letters and actions overlap, in all pods at once and in any order: the counts are exact."""
    chance = random.Random(4)
    letters = [letter(partition, offset) for partition in (0, 1) for offset in range(90)]
    kinds = ["redriven", "discarded"]
    actions = [
        action(number, number % 2, (number * 7) % 60, kinds[number % 3 == 0])
        for number in range(150)
    ]

    async def deliver(pod):
        batches = [(pod.letters, letters[first : first + 40]) for first in range(0, 180, 20)]
        batches += [(pod.actions, actions[first : first + 30]) for first in range(0, 150, 15)]
        for give, batch in chance.sample(batches, len(batches)):
            await give(batch)

    async with Database(database_url) as one, Database(database_url) as two:
        pods = [Pod(one), Pod(one), Pod(two)]
        await asyncio.gather(*map(deliver, pods))
        found = await pods[0].counts()
        last = {}
        for number in range(150):
            last[number % 2, (number * 7) % 60] = kinds[number % 3 == 0]
        for cause in range(CAUSES):
            mine = [(p, o) for p in (0, 1) for o in range(90) if o % CAUSES == cause]
            fates = [last.get(place, "open") for place in mine]
            expected = tuple(fates.count(fate) for fate in ("open", "redriven", "discarded"))
            assert found[f"shop.E{cause}"] == (len(mine), *expected)


async def test_a_letter_and_its_action_that_cross_each_other_meet(database_url):
    """Written at the same moment by two pods, neither may miss the other."""
    async with Database(database_url) as one, Database(database_url) as two:
        pods = Pod(one), Pod(two)
        for offset in range(30):
            await asyncio.gather(
                pods[0].letters([letter(0, offset)]),
                pods[1].actions([action(offset, 0, offset, "redriven")]),
            )
        counts = await pods[0].counts()
    assert counts == {f"shop.E{cause}": (10, 0, 10, 0) for cause in range(CAUSES)}


async def test_takes_a_batch_of_5000(pod):
    """Beyond any limit of bind variables, letters and actions alike."""
    await pod.letters([letter(0, offset) for offset in range(5000)])
    await pod.actions([action(n, 0, n, "discarded") for n in range(5000)])
    overview = await pod.queries.overview()
    assert (overview.open, overview.redriven, overview.discarded) == (0, 0, 5000)
    assert (overview.fingerprints, overview.top) == (CAUSES, ())


async def test_answers_on_every_database(pod):
    """Filters, pages and sums are the same SQL for both."""
    letters = [letter(partition, offset) for partition in (0, 1) for offset in range(30)]
    await pod.letters(letters)
    await pod.actions([action(0, 1, 3, "redriven")])
    rows = await pod.queries.fingerprints(topic="order.created", group="engine-group")
    assert [row.count for row in rows] == [20, 20, 20]
    [redriven] = await pod.queries.fingerprints(status="redriven", limit=5)
    assert await pod.queries.fingerprint(redriven.fingerprint) == redriven
    found, after = [], None
    while page := await pod.queries.letters(redriven.fingerprint, after=after, limit=7):
        found += page
        after = Place(*(getattr(page[-1], name) for name in Place._fields))
    assert len(found) == 20
    order = [tuple(getattr(each, name) for name in Place._fields) for each in found]
    assert all(newer > older for newer, older in pairwise(order))
    [letter_row] = await pod.queries.letters(redriven.fingerprint, status="redriven")
    assert letter_row.id == f"{TOPIC}[1]@3"
    overview = await pod.queries.overview(top=2)
    assert (overview.open, overview.redriven, len(overview.top)) == (59, 1, 2)


async def test_keeps_what_it_knows_when_started_again(database_url):
    """Counts and actions are in the database, not in the pod."""
    for offset in range(3):
        async with Database(database_url) as database:
            pod = Pod(database)
            await pod.actions([action(0, 0, 1, "redriven")])
            await pod.letters([letter(0, offset)])
    async with Database(database_url) as database:
        counts = await Pod(database).counts()
    assert counts == {"shop.E0": (1, 1, 0, 0), "shop.E1": (1, 0, 1, 0), "shop.E2": (1, 1, 0, 0)}


async def test_whatever_the_database_says_it_is_no_letter_s_fault(pod):
    """A table that is gone is no outage, and yet no letter may be handed over for it."""
    await pod.database.execute(text("DROP TABLE dead_letter_actions"), {})
    with pytest.raises(DependencyDown, match="They are read again when it is back"):
        await pod.letters([letter(0, 0)])
    assert await pod.counts() == {}


async def test_a_connection_killed_half_way_leaves_nothing_and_blames_no_letter(postgresql_url):
    """The server ends the transaction: the dependency is down, and the batch is redone."""
    async with Database(postgresql_url) as database, Database(postgresql_url) as other:
        pod = Pod(database)
        await pod.letters([letter(0, 0)])

        async def hold_while_killing(connection):
            await connection.execute(text(BLOCK))
            delivery = asyncio.create_task(pod.letters([letter(0, 0), letter(0, 3)]))
            name = postgresql_url.rpartition("/")[2]
            [[pid]] = await eventually(lambda: run_sql(postgresql_url, BLOCKED, name=name))
            await run_sql(postgresql_url, "SELECT pg_terminate_backend(:pid)", pid=pid)
            with pytest.raises(DependencyDown, match="postgresql://127"):
                await delivery

        await other.write(hold_while_killing)
        assert await pod.counts() == {"shop.E0": (1, 1, 0, 0)}
        await pod.letters([letter(0, 0), letter(0, 3)])
        assert await pod.counts() == {"shop.E0": (2, 2, 0, 0)}
