"""A pod that is killed between any two steps of a failed event's life loses and doubles nothing.

Each test is a chain of lives: every pod brings new events to its own crash (tests/support/pods/
crashing.py), the next one goes on where it was killed, and the last one brings all to its end.
"""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.journal import JournalGroup, journal_group
from tests.support.offsets import wait_all_committed
from tests.support.waiting import eventually
from tests.support.worker import Worker

#: Pods die again and again here, and each time the group waits for that long.
OPTIONS = {"TRUNKLINE_RETRY_BACKOFF": "fixed:0.1", "TRUNKLINE_SESSION_TIMEOUT_S": 3}
#: What the handler does with the events of each life, by the beginning of their key.
ORDERS = [
    ("a", "fail-2"),
    ("a", "ok"),
    ("b", "fail"),
    ("a", "fail-1"),
    ("b", "ok"),
    ("c", "permanent"),
    ("d", "ok"),
    ("c", "ok"),
]
DEAD = {2, 5}

WINDOWS = {
    "hand-over": ["handover.begin", "handover.written", "handover.committed", "source.commit"],
    "table": ["table.begin:2", "table.written", "table.committed", "table.filed"],
    "release": ["release.begin", "release.written", "release.committed", "release.read"],
    "dead-letter": ["dead.begin", "dead.written", "dead.committed", "attempt.handled"],
}


@pytest.mark.parametrize("empty_disk", [False, True], ids=["same-pod", "empty-disk"])
@pytest.mark.parametrize("window", WINDOWS)
async def test_a_crash_in_any_window_loses_and_doubles_nothing(
    kafka: str, namespace: str, tmp_path: Path, window: str, *, empty_disk: bool
) -> None:
    """Each event is handled or dead, never both; keys keep their order, and nothing is left."""
    # Two points for the successor on an empty disk: half of them, lest the file takes minutes.
    points = WINDOWS[window][1:3] if empty_disk else WINDOWS[window]
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        for life, point in enumerate(points):
            await group.publish([(f"{key}{life}", order) for key, order in ORDERS])
            pod = _start(group, f"pod-{life if empty_disk else 0}", point)
            await pod.wait_for_end(40)
            assert pod.returncode == -signal.SIGKILL, pod.tail()
        last = _start(group, "pod-last" if empty_disk else "pod-0")
        await _wait_through(group, last, len(points))
        _check(group, await _dead(group), len(points))


def _start(group: JournalGroup, name: str, point: str = "") -> Worker:
    return group.start(name, app="tests.support.pods.crashing", POD_CRASH=point, **OPTIONS)


async def _wait_through(group: JournalGroup, pod: Worker, lives: int) -> None:
    await pod.wait_ready()
    handled = lives * (len(ORDERS) - len(DEAD))
    await group.wait_handled(handled)

    async def all_dead() -> bool:
        return len(await group.dead()) >= lives * len(DEAD)

    await eventually(all_dead, 30, "the dead letters")

    async def nothing_waits() -> bool:
        stats = await pod.stats()
        return not stats["blocked_keys"] and not stats["retries"]["waiting"]

    await eventually(nothing_waits, 30, "nothing to wait any more")
    await group.wait_committed()
    await wait_all_committed(group.servers, group.group, group.failures)


async def _dead(group: JournalGroup) -> Counter[int]:
    headers = [dict(record.headers) for record in await group.dead()]
    assert {found["trunkline.attempts"] for found in headers} == {b"1", b"4"}
    return Counter(int(found["__streams.errors.offset"] or b"") for found in headers)


def _check(group: JournalGroup, dead: Counter[int], lives: int) -> None:
    expected = {life * len(ORDERS) + place for life in range(lives) for place in DEAD}
    assert dead == Counter(expected), "each has one dead letter, and no other event has"
    ends = [entry for entry in group.entries() if entry.what == "end"]
    assert {e.offset for e in ends} == set(range(lives * len(ORDERS))) - expected
    last = {entry.offset: entry for entry in sorted(ends, key=lambda e: e.at_s)}
    keys = defaultdict(list)
    for offset in sorted(last):
        keys[last[offset].key].append(last[offset].at_s)
    for key, times in keys.items():
        assert times == sorted(times), f"the events of {key} were handled out of order"
