"""Whatever is killed in the middle of a commit, all of it counts or nothing."""

from __future__ import annotations

import asyncio
import os
import random
import sys

import pytest

from models.failures import APPLIED_KEY, decode_offset
from tests.support.committed import read_committed
from tests.support.retries_table import create_changelog, make_table, waiting
from tests.support.retries_writer import changes_of, expected
from tests.support.waiting import eventually
from tests.support.worker import ROOT
from trunkline.errors import BrokerError
from trunkline.retries.store import StoreLostError

pytestmark = pytest.mark.kafka


async def kill_while_it_writes(kafka, namespace, data_dir, steps):
    """Start a writer, kill it after so many steps; returns the last step that it was sure of."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.retries_writer", kafka, namespace, str(data_dir)),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    lines = [await writer.stdout.readline() for _ in range(steps)]
    await asyncio.sleep(random.random() * 0.03)  # anywhere in a commit
    writer.kill()
    rest = await writer.stdout.read()
    await writer.wait()
    return int(b"".join([*lines, rest]).split()[-1])


async def test_kill_in_the_middle_of_commits_leaves_whole_ones(kafka, namespace, tmp_path):
    """Kill -9, again and again: the disk, and an empty one, show the same whole steps."""
    changelog = await create_changelog(kafka, namespace)
    for number, steps in enumerate((1, 20, 7)):
        sure = await kill_while_it_writes(kafka, namespace, tmp_path / "data", steps)
        seen = []
        for folder in (tmp_path / "data", tmp_path / f"empty-{number}"):
            partition = await make_table(kafka, namespace, folder).open(0)
            seen.append((partition.applied, waiting(partition)))
            await partition.close()
        assert seen[0] == seen[1]
        applied, entries = seen[0]
        assert sure <= applied <= sure + 1
        assert entries == expected(applied)
    steps = [
        decode_offset(record.value)
        for record in await read_committed(kafka, changelog, 3)
        if record.key == APPLIED_KEY
    ]
    assert steps == list(range(len(steps))), "a step was made twice, or left out"


async def test_a_broker_that_is_killed_in_a_commit_loses_the_partition(own_broker, tmp_path):
    """The commit fails as lost, and once the broker is back all is there or nothing of it."""
    broker = own_broker()
    broker.start()
    servers = broker.bootstrap_servers
    await create_changelog(servers, "ns")
    table = make_table(servers, "ns", tmp_path / "data")
    partition = await table.open(0)
    for step in range(5):
        await partition.commit(changes_of(step))
    commits = asyncio.create_task(commit_on(partition, 5))
    await eventually(lambda: partition.applied > 5, what="commits")
    broker.kill()
    with pytest.raises(StoreLostError):
        await commits
    sure = partition.applied
    async with asyncio.timeout(4):
        await partition.close()
    with pytest.raises(BrokerError):
        await table.open(0)
    await asyncio.to_thread(broker.start)
    again = await table.open(0)
    assert sure <= again.applied <= sure + 1
    assert waiting(again) == expected(again.applied)
    await again.commit(changes_of(again.applied + 1))
    assert waiting(again) == expected(again.applied)
    await again.close()


async def commit_on(partition, step):
    while True:
        await partition.commit(changes_of(step))
        step += 1
