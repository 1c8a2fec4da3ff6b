"""What the retries table decides by itself: what is written, what is kept, what is believed."""

from __future__ import annotations

import msgspec
import pytest

from models.failures import (
    APPLIED_KEY,
    decode_entry,
    decode_offset,
    decode_state,
    entry_key,
    state_key,
)
from tables.retries import retries_table
from tables.retry_cache import EntryCache, size_of
from tables.retry_changes import writes_of
from tables.retry_staleness import VERSION, LogRange, Mark, why_stale
from tests.support.retries_table import event_id, ids, make_entry, make_table, state_of
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.faust_tables import TableManager
from trunkline.errors import ConfigurationError
from trunkline.retries.store import Changes
from trunkline.settings import Settings
from trunkline.topology import Topology

HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
LOG = LogRange("id-1", 0, 100)
MARK = Mark(VERSION, "id-1", NOW_MS - HOUR_MS)


def nothing_written(_key):
    return False


def stale(mark=MARK, offset=50, log=LOG):
    return why_stale(mark, offset, log, NOW_MS, 12 * 3600)


# -- what is written


def test_writes_entries_states_and_the_applied_offset():
    """Each with its key; an event that was never written has nothing to delete."""
    changes = Changes(
        entries=[make_entry(1)], states={event_id(2): state_of(2)}, gone=ids([3]), applied=7
    )
    writes = writes_of(changes, nothing_written)
    assert set(writes) == {entry_key(event_id(1)), state_key(event_id(2)), APPLIED_KEY}
    assert decode_entry(writes[entry_key(event_id(1))]) == make_entry(1)
    assert decode_state(writes[state_key(event_id(2))]) == state_of(2)
    assert decode_offset(writes[APPLIED_KEY]) == 7


def test_deletes_the_entry_and_the_state_where_one_was_written():
    """A tombstone for each key that may be there, and for no other."""
    written = {entry_key(event_id(1)), state_key(event_id(1)), entry_key(event_id(2))}
    writes = writes_of(Changes(gone=ids([1, 2])), written.__contains__)
    assert writes == dict.fromkeys(written)


def test_a_new_entry_deletes_an_old_state():
    """It would replace the new entry's own."""
    writes = writes_of(Changes(entries=[make_entry(1)]), {state_key(event_id(1))}.__contains__)
    assert writes[state_key(event_id(1))] is None
    assert writes[entry_key(event_id(1))] is not None


def test_the_state_of_a_new_entry_goes_into_it():
    """One record instead of two."""
    changes = Changes(entries=[make_entry(1)], states={event_id(1): state_of(2)})
    writes = writes_of(changes, nothing_written)
    assert list(writes) == [entry_key(event_id(1))]
    assert decode_entry(writes[entry_key(event_id(1))]).state == state_of(2)


def test_what_is_gone_has_neither_entry_nor_state():
    """Whatever else the same changes say of it."""
    changes = Changes(entries=[make_entry(1)], states={event_id(1): state_of(2)}, gone=ids([1, 1]))
    assert writes_of(changes, nothing_written) == {}


# -- what is kept in memory


def test_the_cache_lets_go_of_what_was_not_used_for_the_longest_time():
    """Reading an entry counts as its use."""
    entries = [make_entry(n, b"x" * 1_000) for n in range(4)]
    cache = EntryCache(3 * size_of(entries[0]))
    for entry in entries[:3]:
        cache.put((0, entry.id), entry)
    assert cache.get((0, event_id(0))) == entries[0]
    cache.put((0, event_id(3)), entries[3])
    assert cache.get((0, event_id(1))) is None
    assert [cache.get((0, event_id(n))) for n in (0, 2, 3)] == [entries[n] for n in (0, 2, 3)]


def test_the_cache_stays_within_its_limit():
    """Counting replaced, dropped and very large entries."""
    cache = EntryCache(100_000)
    for number in range(1_000):
        cache.put((0, event_id(number % 50)), make_entry(number, b"x" * (number * 37 % 9_000)))
        assert cache.size_bytes <= 100_000
    cache.put((0, event_id(1)), make_entry(1, b"x" * 200_000))
    assert cache.get((0, event_id(1))) is None
    for number in range(50):
        cache.drop((0, event_id(number)))
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_the_cache_takes_a_new_state_for_what_it_has():
    """Which counts as its use; an entry that it has not is left to the disk."""
    entries = [make_entry(n, b"x" * 1_000) for n in range(3)]
    cache = EntryCache(2 * size_of(entries[0]))
    for entry in entries[:2]:
        cache.put((0, entry.id), entry)
    newer = make_entry(0, b"x" * 1_000, attempts=2)
    cache.note_state((0, event_id(0)), newer.state)
    cache.note_state((0, event_id(2)), newer.state)
    cache.put((0, event_id(2)), entries[2])
    assert cache.get((0, event_id(0))) == newer
    assert cache.get((0, event_id(1))) is None
    assert cache.get((0, event_id(2))) == entries[2]
    assert cache.size_bytes == 2 * size_of(entries[0])


def test_the_cache_keeps_partitions_apart():
    """Closing one leaves the others'."""
    cache = EntryCache(100_000)
    for partition in (0, 1):
        cache.put((partition, event_id(1)), make_entry(1, attempts=partition))
    cache.drop_partition(0)
    assert cache.get((0, event_id(1))) is None
    assert cache.get((1, event_id(1))) == make_entry(1, attempts=1)


# -- which files are believed


@pytest.mark.parametrize("offset", [-1, 0, 99])
def test_files_within_the_changelog_are_brought_up_to_date(offset):
    """From nothing to everything applied."""
    assert stale(offset=offset) is None


def test_files_without_a_known_topic_id_are_judged_by_the_rest():
    """Brokers before 2.8 have none."""
    assert stale(log=LogRange("", 0, 100)) is None
    assert stale(msgspec.structs.replace(MARK, topic_id="")) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mark": None}, "never complete"),
        ({"mark": msgspec.structs.replace(MARK, version=99)}, "version 99"),
        ({"log": LogRange("id-2", 0, 100)}, "made anew"),
        ({"offset": 100}, "end at offset 100"),
        ({"offset": 5, "log": LogRange("id-1", 10, 100)}, "from 10 to 100"),
        ({"mark": Mark(VERSION, "id-1", NOW_MS - 13 * HOUR_MS)}, "13.0 hours ago"),
        ({"mark": Mark(VERSION, "id-1", NOW_MS + HOUR_MS)}, "in the future"),
    ],
)
def test_files_that_may_be_wrong_are_not_believed(changed, reason):
    """The reason is told."""
    assert reason in stale(**changed)


# -- as one of Faust's tables


async def test_faust_neither_reads_nor_gives_out_its_changelog(tmp_path):
    """It is among the tables, and Faust has nothing to recover, so the assignor stays as it was."""
    table = make_table("127.0.0.1:1", "ns", tmp_path)
    tables = table.app.tables
    assert tables["retries"] is table
    assert tables.changelog_topics == set()
    assert not tables
    assert table in tables._channels
    other = table.app.Table("counts", partitions=3)
    assert tables.changelog_topics == {other.changelog_topic_name}
    assert tables
    assert other not in tables._channels


async def test_the_changelog_is_the_one_of_the_topology(tmp_path):
    """Faust derives the name that is declared."""
    table = make_table("127.0.0.1:1", "ns", tmp_path)
    declared = Topology("ns").retries_changelog("db-server-group")
    assert table.changelog_topic_name == declared.name
    assert table.folder(2).is_relative_to(tmp_path / "pod-1")


async def test_needs_our_table_manager_and_the_groups_app(tmp_path):
    """Else Faust would hold back every partition for it, or nothing would be found."""
    settings = Settings(data_dir=tmp_path)
    plain = DeliveryApp("db-server-group", settings, TableManager="faust.tables:TableManager")
    with pytest.raises(ConfigurationError, match="TableManager"):
        retries_table(plain, Topology(), "db-server-group")
    app = DeliveryApp("db-server-group", settings, TableManager=TableManager)
    with pytest.raises(ConfigurationError, match="engine-group-retries-changelog"):
        retries_table(app, Topology(), "engine-group")
