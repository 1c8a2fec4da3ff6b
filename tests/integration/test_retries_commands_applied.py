"""What ``trunkline retries`` reads and commands, with a real worker that carries it out."""

from __future__ import annotations

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.retries.commands import send_commands
from trunkline.retries.inspection import inspect

pytestmark = pytest.mark.kafka


async def waiting(group):
    """Return what waits, by key, in the order of handing over."""
    found = await inspect(KafkaConnection.plaintext(group.servers), group.topology, [group.group])
    assert (found.missing, found.unreadable) == ([], 0)
    by_key = {}
    for event in sorted(found.events, key=lambda e: e.entry.order):
        by_key.setdefault(event.entry.key.decode(), []).append(event)
    return by_key


async def test_a_worker_hurries_and_discards_as_it_is_told(kafka, namespace, tmp_path):
    """Hurried: handled now, and then what is parked behind it. Discarded: gone, and not dead."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start(TRUNKLINE_RETRY_BACKOFF="fixed:3600", TRUNKLINE_COMMIT_INTERVAL_S=0.05)
        await pod.wait_ready()
        await group.publish([("hurried", "fail-1"), ("hurried", "ok"), ("dropped", "fail")])
        await group.publish([("dropped", "ok"), ("left", "fail-1"), ("good", "ok")])

        async def five_wait():
            by_key = await waiting(group)
            return by_key if sum(map(len, by_key.values())) == 5 else None

        found = await eventually(five_wait, 30, "five events to wait")
        assert {key: [e.parked for e in events] for key, events in found.items()} == {
            "hurried": [False, True],
            "dropped": [False, True],
            "left": [False],
        }
        assert {events[0].entry.state.attempts for events in found.values()} == {1}
        assert group.count("end") == 1

        await send_commands(
            KafkaConnection.plaintext(kafka), group.topology, found["hurried"][:1], "now"
        )
        await send_commands(
            KafkaConnection.plaintext(kafka), group.topology, found["dropped"], "discard"
        )

        async def one_waits():
            return list(await waiting(group)) == ["left"]

        await eventually(one_waits, 30, "one event to wait")
        ended = [(e.key, e.offset, e.attempt) for e in group.entries() if e.what == "end"]
        assert ended == [("good", 5, 1), ("hurried", 0, 2), ("hurried", 1, 1)]
        assert await group.dead() == []
