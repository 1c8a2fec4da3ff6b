"""A pod that is killed repeats only what it had handled since its last commit."""

from __future__ import annotations

import time

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

EVENTS = 6_000
COMMIT_INTERVAL_S = 0.5
#: A commit's way to the broker and back, and a machine that is busy with other tests.
SLACK_S = 3
MOST_S = COMMIT_INTERVAL_S + SLACK_S


async def test_a_killed_pod_repeats_only_what_was_not_committed(kafka, namespace, tmp_path):
    """Nothing is lost, the survivor repeats nothing, and the dead pod's repetitions are bounded."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(4)
        pods = [
            group.start(name, POD_SLEEP_MS=10, TRUNKLINE_SESSION_TIMEOUT_S=10)
            for name in ("dies", "lives")
        ]
        for pod in pods:
            await pod.wait_assigned(2)
        await group.publish((f"user-{n % 300}", "ok") for n in range(EVENTS))
        # For longer than the bound: else every end would be within it.
        await eventually(lambda: _works_for(group, MOST_S + 1), 60, "work to be under way")
        pods[0].kill()
        killed_at = time.monotonic()
        # The group notices after the session timeout: until then these are the dead pod's commits.
        committed = await group.committed()
        uncommitted = {
            entry.place: entry.at_s
            for entry in group.entries("dies")
            if entry.what == "end" and entry.offset >= committed.get(entry.partition, 0)
        }
        await group.wait_handled(EVENTS, 90)
        await group.wait_committed()

        ended = group.ended()
        twice = {place for place, times in ended.items() if times > 1}
        print(f"repeated: {len(twice)}; not committed at the end: {len(uncommitted)}")
        assert len(ended) == EVENTS
        assert max(ended.values()) <= 2
        assert twice <= set(uncommitted)
        assert all(at_s > killed_at - MOST_S for at_s in uncommitted.values())


def _works_for(group, seconds):
    ends = [entry.at_s for entry in group.entries("dies") if entry.what == "end"]
    return bool(ends) and max(ends) - min(ends) > seconds
