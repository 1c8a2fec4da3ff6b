"""Key-level concurrency end to end: order per key, and no commit past an unfinished event."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

EVENTS = 10_000
KEYS = 100


async def test_keeps_the_order_of_each_key_across_a_kill(kafka, namespace, tmp_path):
    """10,000 events, 100 keys, 50 at once, ``kill -9`` in the middle: each key ends in order."""
    options = {"POD_CONCURRENCY": 50, "POD_SLEEP_MS": 20}
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(4)
        pods = [group.start(name, **options) for name in ("dies", "lives")]
        for pod in pods:
            await pod.wait_assigned(2)
        await group.publish((f"user-{n * 7919 % KEYS}", "ok") for n in range(EVENTS))
        for share in (0.05, 0.1, 0.2):
            await eventually(lambda: group.count() > EVENTS * share, 60, "work to be under way")  # noqa: B023  # called before share moves on
            await _check_commits(group)
        pods[0].kill()
        await _check_commits(group)
        await group.wait_handled(EVENTS, 90)
        await group.wait_committed()
        await _check_commits(group)

        assert _was_out_of_order(group), "nothing ran at once: the test proves nothing"
        for pod in ("dies", "lives"):
            _check_first_order(group.entries(pod))
        _check_last_order(group.entries())


async def _check_commits(group):
    """Everything below a committed offset was handled to its end."""
    committed = await group.committed()
    ended = set(group.ended())  # read after the commits: it can only be ahead of them
    for partition, offset in committed.items():
        unfinished = [n for n in range(offset) if (partition, n) not in ended]
        assert not unfinished, f"partition {partition} committed {offset} past {unfinished}"


def _was_out_of_order(group):
    offsets = [e.offset for e in group.entries("lives") if e.what == "end" and e.partition == 0]
    offsets += [e.offset for e in group.entries("dies") if e.what == "end" and e.partition == 0]
    return offsets != sorted(offsets)


def _check_first_order(entries):
    """Within one pod a key's events start and end strictly one after the other."""
    running = {}
    for entry in entries:
        if entry.what == "start":
            assert entry.key not in running, f"{entry} began while {running[entry.key]} ran"
            running[entry.key] = entry
        else:
            assert running.pop(entry.key).place == entry.place


def _check_last_order(entries):
    """Of each key, the last handling of every event comes in the order of offsets."""
    last = {}
    for entry in entries:
        if entry.what == "end":
            last[entry.place] = max(last.get(entry.place, entry), entry, key=lambda e: e.at_s)
    by_key = defaultdict(list)
    for entry in sorted(last.values(), key=lambda e: e.at_s):
        by_key[entry.key].append(entry.offset)
    assert len(by_key) == KEYS
    for key, offsets in by_key.items():
        assert offsets == sorted(offsets), f"{key} was handled in the order {offsets}"
