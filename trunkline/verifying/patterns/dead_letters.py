"""Seed, key features: what no attempt helps becomes a dead letter, and is brought back from it."""

from __future__ import annotations

import msgspec

from trunkline.delivery.producer import OutRecord
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.operator import dead_letters, run_command
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

_GOOD = 200
_USER = "user-0"
_HEADERS = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
#: Not JSON, not the topic's model, not text, a tombstone, and one without a key.
_BAD = (
    (b"user-a", b"{not JSON"),
    (b"user-b", b'{"userId": "user-b"}'),
    (b"user-c", b"\xff\x00\xfe"),
    (b"user-d", None),
    (None, b'{"userId": 12345, "email": "ada@example.com"}'),
)


async def _bad_events(stage: Stage) -> tuple[Counts, Counts]:
    (pod,) = stage.pods("db-server", 1)
    await stage.start(pod)
    topic = stage.topology.topic(AUTH_REGISTERED).name
    bad = [OutRecord(topic, value, key=key, headers=_HEADERS) for key, value in _BAD]
    good = [
        OutRecord(topic, msgspec.json.encode(event), key=event.key)
        for event in registrations(0, _GOOD)
    ]
    middle = _GOOD // 2
    await stage.send([*good[:middle], *bad, *good[middle:]])

    async def count() -> Counts:
        found = await dead_letters(stage, AUTH_REGISTERED)
        published = {
            (record.partition, record.offset): record
            for record in await stage.observer.read_all(topic)
        }
        same = 0
        for letter in found:
            if letter.origin is None:
                continue
            record = published[letter.origin.partition, letter.origin.offset]
            was = (record.key, record.value, tuple(record.headers), record.timestamp)
            same += was == (letter.key, letter.value, letter.headers, letter.timestamp_ms)
        return {
            "dead_letters": len(found),
            "byte_for_byte": same,
            "after_one_attempt": sum(letter.attempts == 1 for letter in found),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "dead_letters": len(_BAD),
        "byte_for_byte": len(_BAD),
        "after_one_attempt": len(_BAD),
        "rows": _GOOD,
        "users": _GOOD,
        "committed": _GOOD + len(_BAD),
    }
    return expected, await stage.settle(expected, count)


async def _redriven(stage: Stage) -> tuple[Counts, Counts]:
    (db_server,) = stage.pods("db-server", 1, TRUNKLINE_RETRY_BACKOFF="fixed:0.2")
    (engine,) = stage.pods("engine", 1)
    await stage.start(db_server, engine)
    with stage.database("db-server").refusing("registered_users", _USER):
        await stage.publish(AUTH_REGISTERED, registrations(0, _GOOD))
        dead = {"dead_letters": [4], "rows": _GOOD - 1}
        before = await stage.settle(dead, lambda: _dead(stage))
    first = (await run_command(stage, "dlq", "redrive", "--yes"))["redriven"]

    async def count() -> Counts:
        return {
            "attempts_until_dead": before["dead_letters"],
            "rows_without_it": before["rows"],
            "redriven": first,
            "db_server_got_it_again": await _redriven_to(stage, db_server),
            "engine_got_it_again": await _redriven_to(stage, engine),
            "engine_rows": stage.database("engine").events(
                stage.topology.topic(AUTH_REGISTERED).name
            ),
            "rows": stage.database("db-server").users()["rows"],
            "dead_letters": len(await dead_letters(stage, AUTH_REGISTERED)),
        }

    expected = {
        "attempts_until_dead": [4],
        "rows_without_it": _GOOD - 1,
        "redriven": 1,
        "db_server_got_it_again": 1,
        "engine_got_it_again": 0,
        "engine_rows": _GOOD,
        "rows": _GOOD,
        "dead_letters": 1,
    }
    counted = await stage.settle(expected, count)
    # The same command once more finds nothing: the dead letter stays, and is no longer open.
    again = (await run_command(stage, "dlq", "redrive", "--yes"))["redriven"]
    return {**expected, "redriven_by_a_second_run": 0}, {
        **counted,
        "redriven_by_a_second_run": again,
    }


async def _dead(stage: Stage) -> Counts:
    found = await dead_letters(stage, AUTH_REGISTERED)
    return {
        "dead_letters": [letter.attempts for letter in found],
        "rows": stage.database("db-server").users()["rows"],
    }


async def _redriven_to(stage: Stage, pod: WorkerProcess) -> int:
    topics = (await pod.stats())["topics"]
    found: int = topics[stage.topology.topic(AUTH_REGISTERED).name]["redriven"]
    return found


BAD_EVENTS = Pattern(
    "bad-event-dead-letter",
    "bad events become dead letters byte for byte, and hold up no good one",
    ("db-server",),
    _bad_events,
)
REDRIVEN = Pattern(
    "dead-letter-redriven",
    "a dead letter is redriven, to the group that failed it and to no other",
    ("db-server", "engine", "dlq"),
    _redriven,
)
