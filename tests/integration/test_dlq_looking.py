"""``trunkline dlq ls|show|export`` on a real Kafka, with dead letters that anybody wrote."""

from __future__ import annotations

import json

import pytest

from tests.support.dead_letters import CONNECT, SHARE_GROUP, SPRING, STREAMS, Record
from tests.support.dlq import Dlq
from tests.support.foreign import ForeignRecord, batch_of, send_batch

pytestmark = pytest.mark.kafka

#: Clears the screen, retitles the window, asks the terminal to type, turns the direction of text.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b6n\x08\r\u202egnp.exe\x7f"


@pytest.fixture
async def dlq(kafka, namespace):
    """The command line on topics that are there and empty."""
    dlq = Dlq(kafka, namespace)
    await dlq.prepare()
    return dlq


async def test_groups_by_fingerprint(dlq):
    """With counts, and first and last time; the most frequent come first."""
    await dlq.put(
        [
            *dlq.letters(5),
            *dlq.letters(2, exception="builtins.KeyError", message="late"),
            *dlq.letters(3, kind="invalid", stacktrace="", message="$.amountCents: is missing"),
        ]
    )

    listed = dlq.run("ls", "--json")
    table = dlq.run("ls")

    groups = json.loads(listed.stdout)
    assert [(g["count"], g["topic"], g["group"], g["place"]) for g in groups] == [
        (5, "order.created", "engine-group", "agents/engine.py:add_up"),
        (3, "order.created", "engine-group", "$.amountCents"),
        (2, "order.created", "engine-group", "agents/engine.py:add_up"),
    ]
    assert all(group["first_failed_at_ms"] == 1_700_000_001_000 for group in groups)
    assert groups[0]["fingerprint"] in table.stdout
    assert "10 dead letters, 3 fingerprints." in table.stdout
    one = dlq.run("ls", "--letters", "--json", "--fingerprint", groups[2]["fingerprint"][:6])
    assert {letter["message"] for letter in json.loads(one.stdout)} == {"late"}


async def test_filters(dlq):
    """Each of them, on what stands in Kafka."""
    await dlq.put(
        [
            *dlq.letters(6),
            dlq.letter(7, exception="builtins.KeyError", group=f"{dlq.namespace}.other"),
        ]
    )

    def count(*filters: str) -> int:
        listed = dlq.run("ls", "--letters", "--json", *filters)
        assert listed.returncode == 0, listed.stderr
        return len(json.loads(listed.stdout))

    assert count() == 7
    assert count("--topic", "order.created") == 7
    assert count("--topic", "auth.registered") == 0
    assert count("--group", "other") == 1
    assert count("--exception", "KeyError") == 1
    assert count("--exception", "builtins.*") == 7
    assert count("--key", "user-0") == 2
    assert count("--header", "tenant=other", "--key", "user-0") == 1
    assert count("--since", "2023-11-14T22:13:21Z") == 7
    assert count("--until", "2023-11-14T22:13:21Z") == 0
    assert count("dlq.order.created[0]@1", "dlq.order.created[1]@1") == 2
    assert count("--limit", "3") == 3
    assert dlq.run("ls", "--topic", "order.createt").returncode == 2


async def test_shows_one(dlq):
    """Where it came from, what failed, headers, stack trace and value."""
    await dlq.put(dlq.letters(3))

    shown = dlq.run("show", "dlq.order.created[1]@0").stdout
    missing = dlq.run("show", "dlq.order.created[1]@7")
    nonsense = dlq.run("show", "order 1")

    for part in (
        f"{dlq.namespace}.order.created[1]@1",
        f"{dlq.namespace}.engine-group",
        "builtins.ValueError: o-1",
        "transient, 4 attempts, 0 redrives",
        "tenant: acme",
        "in add_up",
        "Value (1 bytes):\n  1\n",
    ):
        assert part in shown
    assert missing.returncode == 1
    assert "There is no dead letter" in missing.stderr
    assert nonsense.returncode == 2


async def test_shows_behind_records_that_were_rolled_back_or_are_no_records(dlq):
    """Transaction markers take offsets too: the one after them is found, and they are not."""
    await dlq.put(dlq.letters(2))
    dlq.run("redrive", "--yes")

    assert dlq.run("show", "dlq.order.created[0]@0").returncode == 0
    assert "redriven" in dlq.run("show", "dlq.order.created[0]@0").stdout
    assert dlq.run("show", "dlq.order.created[0]@1").returncode == 1


@pytest.mark.parametrize(
    ("headers", "source", "group", "offset"),
    [
        (STREAMS, "streams", None, 77),
        (SPRING, "spring", "billing", 2**40 + 7),
        (CONNECT, "connect", "connect-jdbc-sink", 200),
        (SHARE_GROUP, "share-group", "picking", 9),
    ],
    ids=["streams", "spring", "connect", "share-group"],
)
async def test_reads_what_others_wrote(dlq, headers, source, group, offset):
    """Their headers byte for byte, through a real Kafka; they are shown, and not redriven."""
    await dlq.put([Record(topic=f"{dlq.namespace}.dlq.order.created", headers=headers)])

    (letter,) = json.loads(dlq.run("ls", "--letters", "--json").stdout)
    redriven = dlq.run("redrive", "--yes")

    assert (letter["source"], letter["group"]) == (source, group)
    assert letter["origin"]["offset"] == offset
    assert redriven.returncode == 1
    assert "refused because" in redriven.stdout
    assert dlq.run("show", letter["id"]).returncode == 0


async def test_nothing_hostile_reaches_the_terminal(dlq):
    """Key, value, header names and values, message, stack trace, group: all are escaped."""
    hostile = dlq.letter(0, message=HOSTILE, stacktrace=HOSTILE, group=HOSTILE, exception=HOSTILE)
    name = HOSTILE.encode()
    headers = [(n.encode(), v) for n, v in hostile.headers]
    record = ForeignRecord(name, name, [(name, name), (b"\xff\x1b", b"\xff\x1b"), *headers])
    await send_batch(dlq.kafka, hostile.topic, 0, batch_of([record]))

    for command in (
        ("show", "dlq.order.created[0]@0"),
        ("show", "--json", "dlq.order.created[0]@0"),
        ("ls",),
        ("ls", "--json"),
        ("ls", "--letters"),
        ("ls", "--letters", "--json"),
        ("export",),
        ("redrive", "--dry-run"),
        ("redrive", "--dry-run", "--json"),
    ):
        done = dlq.run(*command)
        assert "Traceback" not in done.stderr, done.stderr
        printed = done.stdout + done.stderr
        assert printed
        wrong = {c for c in printed if not c.isprintable()} - {"\n"}
        assert not wrong, (command, wrong)


async def test_a_huge_value_is_shown_in_part_and_exported_whole(dlq):
    """A megabyte would bury everything else on the screen."""
    await dlq.put([dlq.letter(0)._replace(value=b"x" * 1_000_000)])

    shown = dlq.run("show", "dlq.order.created[0]@0").stdout

    assert "900,000 more characters" in shown
    assert len(json.loads(dlq.run("export").stdout)["value"]) == 1_000_000


async def test_says_when_there_are_no_topics(kafka, namespace):
    """Exit status 1, and what to do."""
    listed = Dlq(kafka, namespace).run("ls")

    assert listed.returncode == 1
    assert "trunkline topics apply" in listed.stderr


def test_says_when_kafka_is_away(namespace):
    """One line, no traceback, exit status 1."""
    listed = Dlq("127.0.0.1:1", namespace).run("ls")

    assert listed.returncode == 1
    assert listed.stderr == (
        "Error: Kafka at 127.0.0.1:1 does not answer: connection refused; "
        "start it with: trunkline broker start\n"
    )
