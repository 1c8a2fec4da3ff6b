"""The files of the retries table are a copy: whatever becomes of them is harmless."""

from __future__ import annotations

import os
import resource
import shutil
import time

import pytest

from models.failures import entry_key
from tables.retry_files import FilesInUseError
from tests.support.kafka import admin
from tests.support.retries_table import create_changelog, event_id, make_entry, make_table, waiting
from tests.support.waiting import eventually
from trunkline.retries.store import Changes, StoreLostError

pytestmark = pytest.mark.kafka


@pytest.fixture
async def changelog(kafka, namespace):
    return await create_changelog(kafka, namespace)


@pytest.fixture
async def table(kafka, namespace, changelog, tmp_path):
    return make_table(kafka, namespace, tmp_path / "data")


async def test_files_whose_changelog_was_made_anew_are_dropped(
    kafka, namespace, table, changelog, tmp_path
):
    """Offsets of another topic of the same name mean nothing."""
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(1)], applied=1))
    await partition.close()
    async with admin(kafka) as client:
        await client.delete_topics([changelog])

        async def gone():
            return changelog not in await client.list_topics()

        await eventually(gone, what="the changelog to be deleted")
    await create_changelog(kafka, namespace)
    other = await make_table(kafka, namespace, tmp_path / "other", "pod-2").open(0)
    for number in range(5, 9):
        await other.commit(Changes(entries=[make_entry(number)], applied=number))
    await other.close()
    again = await table.open(0)
    assert (again.applied, waiting(again)) == (8, {5: 1, 6: 1, 7: 1, 8: 1})
    await again.close()


async def test_old_files_are_made_anew(kafka, namespace, table, tmp_path):
    """Files that may have missed a tombstone for good are not believed."""
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(1), make_entry(2)]))
    partition.files.db.put(entry_key(event_id(99)), partition.files.get(entry_key(event_id(1))))
    await partition.close()
    young = await table.open(0)
    assert young.get(event_id(99)), "young files are brought up to date, not read anew"
    await young.close()
    table._max_age_s = -1
    old = await table.open(0)
    assert old.get(event_id(99)) is None
    assert waiting(old) == {1: 1, 2: 1}
    await old.close()


@pytest.mark.parametrize("damage", ["CURRENT", "MANIFEST-*", "*.sst", "block", "folder"])
async def test_damaged_files_are_made_anew(table, damage):
    """Whatever is wrong with the files, and whenever it shows, the changelog has it all."""
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(n, os.urandom(500)) for n in range(50)]))
    partition.files.db.flush()
    await partition.close()
    damage_files(table.folder(0), damage)

    async def read():
        again = await table.open(0)
        try:
            return len(list(again.entries()))
        except StoreLostError:
            return None  # the next one finds it removed
        finally:
            await again.close()

    assert await eventually(read) == 50


def damage_files(folder, damage):
    if damage == "folder":
        shutil.rmtree(folder)
        folder.write_text("not a folder")
        return
    paths = list(folder.glob("*.sst" if damage == "block" else damage))
    assert paths
    for path in paths:
        raw = path.read_bytes()
        # A block in the middle shows only when it is read.
        middle = raw[:5_000] + b"\xff" * 5_000 + raw[10_000:]
        path.write_bytes(middle if damage == "block" else b"\xff" * 1_000)


async def test_files_that_another_process_has_open_are_named(kafka, namespace, table, tmp_path):
    """Two pods of one name: the message says which folder, and what to set."""
    partition = await table.open(0)
    same = make_table(kafka, namespace, tmp_path / "data")
    with pytest.raises(FilesInUseError, match="TRUNKLINE_POD") as error:
        await same.open(0)
    assert str(table.folder(0)) in str(error.value)
    await partition.close()


async def test_recovers_many_from_an_empty_disk(kafka, namespace, table, tmp_path):
    """100,000 entries come back; prints what that took."""
    total, batch = 100_000, 5_000
    partition = await table.open(0)
    for first in range(0, total, batch):
        entries = [make_entry(n, b"x" * 200) for n in range(first, first + batch)]
        await partition.commit(Changes(entries=entries, applied=first))
    await partition.close()
    empty = make_table(kafka, namespace, tmp_path / "empty")
    began = time.monotonic()
    again = await empty.open(0)
    opened = time.monotonic()
    assert sum(1 for _ in again.entries()) == total
    read = time.monotonic()
    size = sum(path.stat().st_size for path in empty.folder(0).iterdir())
    await again.close()
    print(
        f"\n{total} entries: open {opened - began:.2f} s, entries {read - opened:.2f} s, "
        f"{size / 1e6:.0f} MB on disk, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB RSS at most"
    )
