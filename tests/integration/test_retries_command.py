"""``trunkline retries`` as its user runs it, on tables that were written by hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from models.failures import (
    APPLIED_KEY,
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    RetryEntry,
    RetryState,
    encode,
    entry_key,
    state_key,
)
from tests.support.audit import audit_records
from tests.support.kafka import create_topics, read_all
from trunkline.retries.records import read_failure
from trunkline.topology import Topology

pytestmark = pytest.mark.kafka

GROUP = "engine-group"
#: It clears the screen, and retitles the window.
HOSTILE = "\x1b[2J\x1b]0;gotcha\x07"
#: Far enough away that nothing becomes due while the tests run, however many come before these.
LATER_MS = int(time.time() * 1000) + 24 * 3_600_000


class Tables:
    """The retries tables of a namespace, written by hand."""

    def __init__(self, servers: str, namespace: str) -> None:
        self.servers = servers
        self.topology = Topology(namespace)
        self.order = self.topology.real_name("order.created")
        self.changelog = self.topology.retries_changelog(GROUP)
        self.failures = self.topology.failures_topic(GROUP)

    def id(self, offset):
        return f"{self.order}[0]@{offset}"

    def entry(self, offset, key, state, *, value=b'{"orderId": "o-1"}', headers=(), held=True):
        event = EventId(self.order, 0, offset, 1_700_000_000_000)
        return RetryEntry(WIRE_VERSION, event, key, value, headers, held, offset, 1, 0, state)

    async def create(self):
        needed = (self.changelog, self.failures, self.topology.audit_topic())
        await create_topics(self.servers, {t.name: t.partitions for t in needed})

    async def write(self, *transactions):
        """Write to the changelog: ("commit" or "abort", partition, {key: value or None})."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers, transactional_id=self.changelog.name
        ) as producer:
            for end, partition, records in transactions:
                await producer.begin_transaction()
                for key, value in records.items():
                    await producer.send_and_wait(
                        self.changelog.name, value, key=key, partition=partition
                    )
                if end == "commit":
                    await producer.commit_transaction()
                else:
                    await producer.abort_transaction()

    async def write_samples(self):
        """Write five waiting events, one that is through, and one in an aborted transaction."""
        refused = failed("app.errors.CardRefused", f"no {HOSTILE}money")
        first = failed("builtins.TimeoutError", "took too long")
        due, later, dead = (
            self.entry(1, b"7", RetryState(1, 1, refused, refused)),
            self.entry(
                3,
                b"\xff\x00",
                RetryState(1, LATER_MS, first, first),
                value=b"\x00\xfe\xff",
                headers=((f"x-{HOSTILE}", b"\x1b[31mred"), ("raw", b"\xff"), ("none", None)),
            ),
            self.entry(4, b"9", RetryState(4, 0, first, refused, exhausted=True)),
        )
        parked = self.entry(2, b"7", RetryState(0, 0))
        keyless = self.entry(5, None, RetryState(1, LATER_MS, first, first), held=False)
        through = self.entry(6, b"5", RetryState(1, 1, first, first))
        aborted = self.entry(7, b"6", RetryState(1, 1, first, first))
        newest = RetryState(2, LATER_MS, first, refused)
        await self.create()
        await self.write(
            ("commit", 0, {entry_key(e.id): encode(e) for e in (due, parked, through)}),
            ("abort", 0, {entry_key(aborted.id): encode(aborted), entry_key(due.id): None}),
            ("commit", 0, {entry_key(through.id): None, state_key(through.id): None}),
            ("commit", 1, {entry_key(e.id): encode(e) for e in (later, dead, keyless)}),
            ("commit", 1, {state_key(later.id): encode(newest), APPLIED_KEY: encode(9)}),
            # The last thing in the partition: its end is a marker that no reader is given.
            ("abort", 1, {entry_key(later.id): None}),
        )


def failed(exception, message):
    text = f"Traceback\n  File x, line 1\n{HOSTILE}"
    return ErrorInfo("transient", exception, message, text, LATER_MS - 25 * 3_600_000)


@pytest.fixture
def tables(kafka, namespace):
    return Tables(kafka, namespace)


@pytest.fixture
def retries(kafka, namespace):
    """Return a function that runs ``trunkline retries`` in the test's namespace."""

    def run(*args, servers=kafka, stdin=""):
        env = {"KAFKA_BOOTSTRAP_SERVERS": servers, "TRUNKLINE_NAMESPACE": namespace}
        code = "from trunkline.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "retries", *args],
            env={**os.environ, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback (most recent" not in done.stderr, done.stderr
        return done

    return run


async def ask(retries, *args, **options):
    return await asyncio.to_thread(retries, *args, **options)


async def commands_of(tables):
    """Return what was sent to the failures topic: command, event and partition."""
    records = await read_all(tables.servers, tables.failures.name)
    assert all(record.key is None and record.value is None for record in records)
    read = [(read_failure(record), record.partition) for record in records]
    return sorted((r.kind, str(r.id), r.id.timestamp_ms, partition) for r, partition in read)


async def test_lists_what_is_committed_with_its_newest_state(retries, tables):
    """Tombstones and newest states count, what was aborted does not."""
    await tables.write_samples()
    shown = await ask(retries, "ls", "--group", GROUP)
    listed = json.loads((await ask(retries, "ls", "--group", GROUP, "--json")).stdout)

    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    cells = {line.split("  ")[0].strip(): re.split(r"\s{2,}", line.strip()) for line in lines}
    due = cells[tables.id(1)]
    assert due[2:5] == ["7", "1", "now"]
    assert due[6] == "CardRefused: no \\x1b[2J\\x1b]0;gotcha\\x07money"
    assert cells[tables.id(2)][2:] == ["7", "0", "parked", "-", "-"]
    assert cells[tables.id(3)][2:4] == ["0xff00", "2"]
    assert re.fullmatch(r"\d+ h( \d+ m)?|1 d", cells[tables.id(3)][4])
    assert cells[tables.id(4)][4] == "to dead letters"
    assert lines[-1] == (
        "5 events: 1 due now, 2 later, 1 parked behind their key, 1 on the way to dead letters."
    )

    assert listed["waiting"] == listed["matching"] == 5
    assert listed["counts"] == {"due": 1, "later": 2, "parked": 1, "exhausted": 1, "discarded": 0}
    ids = [event["id"] for event in listed["events"]]
    assert sorted(ids) == [tables.id(offset) for offset in (1, 2, 3, 4, 5)]
    assert ids[-1] == tables.id(2)
    (later,) = (event for event in listed["events"] if event["id"] == tables.id(3))
    assert later["key"] == {"base64": "/wA="}
    assert (later["attempts"], later["due_at_ms"], later["status"]) == (2, LATER_MS, "later")
    assert later["failures_partition"] == 1
    assert later["last_error"]["exception"] == "app.errors.CardRefused"


async def test_filters_and_limits_what_it_lists(retries, tables):
    """Each filter, and what it says of the rest."""
    await tables.write_samples()

    async def ids(*args):
        listed = await ask(retries, "ls", "--group", GROUP, "--json", *args)
        return sorted(event["offset"] for event in json.loads(listed.stdout)["events"])

    assert await ids("--parked") == [2]
    assert await ids("--waiting", "--key", "7") == [1]
    assert await ids("--exception", "Card*") == [1, 3, 4]
    assert await ids("--topic", "order.created", "--id", "order.created[0]@5") == [5]
    assert len(await ids("--limit", "2")) == 2
    limited = await ask(retries, "ls", "--group", GROUP, "--waiting", "--limit", "2")
    assert "Shown: 2 of 4 matching. In all:\n5 events:" in limited.stdout


async def test_shows_everything_and_nothing_that_moves_the_terminal(retries, tables):
    """Payload, headers, both errors, stack trace; text and JSON."""
    await tables.write_samples()
    shown = await ask(retries, "show", "order.created[0]@3", tables.id(1))
    listed = await ask(retries, "show", tables.id(3), "--json")

    assert (shown.returncode, shown.stderr) == (0, _missing_groups(shown))
    text = shown.stdout
    for part in (
        f"event          {tables.id(3)}",
        "key            0xff00",
        "First error:\n  builtins.TimeoutError (transient)",
        "Last error:\n  app.errors.CardRefused (transient)",
        "took too long",
        "    File x, line 1",
        "x-\\x1b[2J\\x1b]0;gotcha\\x07: \\x1b[31mred",
        "raw: 0xff",
        "none: null",
        "Payload (3 bytes):\n  0x00feff",
        'Payload (18 bytes):\n  {"orderId": "o-1"}',
    ):
        assert part in text, part
    assert all(c.isprintable() or c == "\n" for c in text + listed.stdout)

    (event,) = json.loads(listed.stdout)["events"]
    assert event["value"] == {"base64": "AP7/"}
    assert event["headers"][0] == [f"x-{HOSTILE}", {"text": "\x1b[31mred"}]
    assert event["headers"][1:] == [["raw", {"base64": "/w=="}], ["none", None]]
    assert event["last_error"]["stacktrace"].startswith("Traceback")


def _missing_groups(done):
    """Return what is said of the other groups' tables, which the test does not make."""
    lines = [f"{line}\n" for line in done.stderr.splitlines() if line.startswith("Left out: there")]
    return "".join(lines)


async def test_an_event_that_does_not_wait_is_exit_status_1(retries, tables):
    """The others are shown all the same."""
    await tables.write_samples()
    for command in ("ls", "show"):
        ids = [tables.id(1), "order.created[0]@6"]
        args = ids if command == "show" else [part for i in ids for part in ("--id", i)]
        shown = await ask(retries, command, "--group", GROUP, *args)
        assert shown.returncode == 1
        assert tables.id(1) in shown.stdout
        assert shown.stderr == f"{tables.id(6)} does not wait: it is through, or never was.\n"


async def test_makes_events_due_at_once(retries, tables):
    """A command for each, to the partition in which it waits; parked ones follow by themselves."""
    await tables.write_samples()
    by_filter = await ask(retries, "now", "--group", GROUP, "--key", "7", "--key", "0xff00")
    by_id = await ask(retries, "now", "--group", GROUP, "--id", tables.id(5), "--json")
    nothing = await ask(retries, "now", "--group", GROUP, "--key", "none")

    assert (by_filter.returncode, by_filter.stderr) == (0, "")
    assert "1 event parked behind their key, or discarded: left out." in by_filter.stdout
    assert f"Sent 2 'now' commands to {tables.topology.real_name(GROUP)}." in by_filter.stdout
    assert json.loads(by_id.stdout) == {
        "command": "now",
        "sent": 1,
        "events": [tables.id(5)],
        "not_found": [],
    }
    assert (nothing.returncode, nothing.stdout[:17]) == (0, "Nothing was sent:")
    stamp = 1_700_000_000_000
    assert await commands_of(tables) == [
        ("now", tables.id(1), stamp, 0),
        ("now", tables.id(3), stamp, 1),
        ("now", tables.id(5), stamp, 1),
    ]
    trail = await audit_records(tables.servers, tables.topology)
    assert [(r.action, r.phase, r.count, r.result) for r in trail] == [
        ("retries.now", "begun", 2, {}),
        ("retries.now", "ended", 2, {"sent": 2}),
        ("retries.now", "begun", 1, {}),
        ("retries.now", "ended", 1, {"sent": 1}),
    ]
    assert trail[0].what == {
        "groups": [GROUP],
        "filter": {"keys": ["0xff00", "7", "\ufffd\x00"]},
        "ids": [tables.id(1), tables.id(3)],
    }
    assert (trail[0].actor.via, trail[0].actor.host) == ("cli", socket.gethostname())


async def test_does_nothing_when_the_audit_trail_cannot_be_written(kafka, namespace, retries):
    """What is not noted is not done: one line says so, exit status 1."""
    tables = Tables(kafka, namespace)
    await create_topics(kafka, {t.name: t.partitions for t in (tables.changelog, tables.failures)})
    entry = tables.entry(1, b"7", RetryState(1, LATER_MS, None, None))
    await tables.write(("commit", 0, {entry_key(entry.id): encode(entry)}))

    done = await ask(retries, "now", "--group", GROUP)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: Nothing was done: the audit trail cannot be written")
    assert "trunkline topics plan" in done.stderr
    assert await commands_of(tables) == []


async def test_discards_only_what_was_said_and_confirmed(retries, tables):
    """Not without a filter, not without a yes."""
    await tables.write_samples()
    bare = await ask(retries, "discard", "--yes")
    both = await ask(retries, "discard", "--all", "--key", "7")
    refused = await ask(retries, "discard", "--group", GROUP, "--key", "7", stdin="n\n")
    silent = await ask(retries, "discard", "--group", GROUP, "--key", "7")
    assert (bare.returncode, both.returncode) == (2, 2)
    assert "Say which events, by a filter such as --id, or --all." in bare.stderr
    assert (refused.returncode, silent.returncode) == (1, 1)
    assert await commands_of(tables) == []

    agreed = await ask(retries, "discard", "--group", GROUP, "--key", "7", stdin="y\n")
    assert agreed.returncode == 0
    assert f"  {tables.id(1)}  " in agreed.stderr
    assert "Discard 2 events?" in agreed.stderr
    assert "\x1b" not in agreed.stderr
    assert "Sent 2 'discard' commands to" in agreed.stdout

    everything = await ask(retries, "discard", "--all", "--yes", "--json")
    assert json.loads(everything.stdout)["sent"] == 5
    sent = await commands_of(tables)
    assert len(sent) == 7
    assert {(kind, partition) for kind, _, _, partition in sent} == {("discard", 0), ("discard", 1)}
    assert sum(event == tables.id(2) for _, event, _, _ in sent) == 2


async def test_says_when_nothing_waits(retries, tables):
    """An empty table is no error, with and without JSON."""
    await tables.create()
    shown = await ask(retries, "ls", "--group", GROUP)
    listed = await ask(retries, "ls", "--group", GROUP, "--json")
    assert (shown.returncode, shown.stdout) == (0, "Nothing waits.\n")
    assert json.loads(listed.stdout)["events"] == []


def test_says_what_to_do_when_there_are_no_topics(retries, tables):
    """One line, exit status 1."""
    done = retries("ls")
    assert done.returncode == 1
    assert re.fullmatch(
        r"Error: There is no topic \S+-retries-changelog in this cluster: create it with "
        r"'trunkline topics apply', and check TRUNKLINE_NAMESPACE\.\n",
        done.stderr,
    )


def test_says_how_to_start_a_broker_that_is_away(retries):
    """One line, exit status 1."""
    done = retries("now", servers="127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Kafka at 127.0.0.1:1 does not answer: connection refused; start it with: trunkline "
        "broker start\n"
    )


async def test_what_a_later_release_wrote_is_left_out(retries, tables):
    """It is counted, and the rest is shown."""
    await tables.create()
    known = tables.entry(1, b"7", RetryState(0, 0))
    later = msgspec.structs.replace(tables.entry(2, b"8", RetryState(0, 0)), version=99)
    await tables.write(("commit", 2, {entry_key(e.id): encode(e) for e in (known, later)}))
    shown = await ask(retries, "ls", "--group", GROUP)
    assert shown.returncode == 0
    assert shown.stdout.endswith("1 event: 1 due now.\n")
    assert shown.stderr.startswith("Left out: 1 records that are none of a retries table's")
