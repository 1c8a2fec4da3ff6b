"""Failed events are tried again, in order for their key, and end as dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.journal import Entry, journal_group
from tests.support.waiting import eventually

#: Quick, so that a whole life of an event fits into a test.
RETRY = {"TRUNKLINE_RETRY_BACKOFF": "fixed:0.2"}


async def test_a_failed_event_is_retried_and_its_key_waits_for_it(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """Later events of the key come after it, those of other keys do not wait."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([("a", "fail-2"), ("a", "ok"), ("b", "ok"), ("a", "ok")])
        await group.start(**RETRY).wait_ready()
        await group.wait_handled(4)
        ended = [entry for entry in group.entries() if entry.what == "end"]
    assert [(e.offset, e.attempt) for e in ended if e.key == "a"] == [(0, 3), (1, 1), (3, 1)]
    assert ended[0].key == "b"


async def test_an_event_that_always_fails_is_dead_after_three_retries(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """Its dead letter is the event byte for byte, and its key goes on behind it."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([("a", "fail"), ("a", "ok"), ("b", "permanent")])
        pod = group.start(**RETRY)
        await pod.wait_ready()
        await group.wait_handled(1)

        async def two_dead() -> bool:
            return len(await group.dead()) == 2

        await eventually(two_dead, what="two dead letters")
        dead = {record.key: record for record in await group.dead()}
        entries = group.entries()

        async def key_is_free() -> bool:
            stats = await pod.stats()
            return stats.get("blocked_keys") == 0 and not stats["retries"]["waiting"]

        await eventually(key_is_free, what="the key to be free again")
        await group.publish([("a", "ok")])
        await group.wait_handled(2)
        stats = await pod.stats()
    assert _attempts(entries, "a", 0) == [1, 2, 3, 4]
    assert _attempts(entries, "b", 2) == [1]
    assert dead[b"a"].value == b'{"userId": "a", "email": "fail@example.com"}'
    assert dict(dead[b"a"].headers)["trunkline.attempts"] == b"4"
    assert dict(dead[b"b"].headers)["trunkline.attempts"] == b"1"
    assert stats["topics"][group.topic]["dead"] + stats["topics"][group.topic]["recovered"] == 3


async def test_a_killed_pod_goes_on_with_its_counts(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """The next pod, on an empty disk, makes the attempts that are left, and no other."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        slow = {"TRUNKLINE_RETRY_BACKOFF": "list:0.1,10", "TRUNKLINE_SESSION_TIMEOUT_S": 3}
        first = group.start("pod-1", **slow)
        await first.wait_ready()
        await group.publish([("a", "fail")])
        await eventually(lambda: group.count("failed") == 2, what="two attempts")

        async def noted() -> bool:
            return bool((await first.stats()).get("retries", {}).get("next_due_in_ms"))

        await eventually(noted, what="the second failure to be noted")
        first.kill()
        await group.start("pod-2", **slow).wait_ready()

        async def dead() -> bool:
            return len(await group.dead()) == 1

        await eventually(dead, 60, "the dead letter")
        attempts = _attempts(group.entries(), "a", 0)
    assert attempts in ([1, 2, 3, 4], [1, 2, 2, 3, 4])


def _attempts(entries: list[Entry], key: str, offset: int) -> list[Any]:
    found = [e for e in entries if e.what == "failed" and (e.key, e.offset) == (key, offset)]
    return [entry.attempt for entry in sorted(found, key=lambda e: e.at_s)]
