"""``trunkline dlq redrive|discard|import`` on a real Kafka: each dead letter once, only once."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer

from tests.support import eventually
from tests.support.audit import audit_records
from tests.support.dead_letters import SPRING, Record
from tests.support.dlq import Dlq
from trunkline.delivery.partitioning import murmur2

pytestmark = pytest.mark.kafka


@pytest.fixture
async def dlq(kafka, namespace):
    """The command line on topics that are there and empty."""
    dlq = Dlq(kafka, namespace)
    await dlq.prepare()
    return dlq


def values(records) -> list[int]:
    return sorted(int(record.value) for record in records)


async def until_some_are_redriven(dlq: Dlq, count: int) -> None:
    """Wait until a committed reader sees so many."""
    topic = dlq.topology.failures_topic("engine-group").name
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=dlq.kafka,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        seen = 0

        async def enough() -> bool:
            nonlocal seen
            seen += sum(map(len, (await consumer.getmany(timeout_ms=50)).values()))
            return seen >= count

        await eventually(enough, timeout_s=60, what=f"{count} redriven events")


@pytest.mark.parametrize("kills", [1, 3])
async def test_killed_in_the_middle_and_run_again_redrives_each_once(dlq, kills):
    """A thousand dead letters: none twice, none missing, each with its note."""
    await dlq.put(dlq.letters(1000))
    for kill in range(kills):
        running = dlq.start("redrive", "--yes", "--rate", "100")
        await until_some_are_redriven(dlq, 100 * (2 * kill + 1))
        running.kill()
        running.communicate()
    before = len(await dlq.redriven())

    again = dlq.run("redrive", "--yes")

    assert 0 < before < 1000
    assert again.returncode == 0, again.stderr
    assert f"{1000 - before} dead letters were redriven." in again.stdout.replace(",", "")
    assert values(await dlq.redriven()) == list(range(1000))
    notes = Counter(record.key for record in await dlq.actions())
    assert len(notes) == 1000
    assert set(notes.values()) == {1}
    trail = await audit_records(dlq.kafka, dlq.topology)
    assert [record.phase for record in trail] == ["begun"] * (kills + 1) + ["ended"]
    assert trail[0].action == "dlq.redrive"
    assert trail[-1].result == {"redriven": 1000 - before, "already": 0}


async def test_ctrl_c_ends_after_the_running_transaction_and_the_same_command_goes_on(dlq):
    """Exit status 1, and it says how to go on."""
    await dlq.put(dlq.letters(300))
    running = dlq.start("redrive", "--yes", "--rate", "20")
    await until_some_are_redriven(dlq, 20)

    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=30)

    assert running.returncode == 1
    assert "are left. The same command goes on" in stderr
    assert dlq.run("redrive", "--yes").returncode == 0
    assert values(await dlq.redriven()) == list(range(300))


async def test_a_second_run_takes_over_and_nothing_is_done_twice(dlq):
    """The first one ends with status 1 and says why."""
    await dlq.put(dlq.letters(600))
    first = dlq.start("redrive", "--yes", "--rate", "20")
    await until_some_are_redriven(dlq, 20)

    second = dlq.run("redrive", "--yes")
    _, stderr = first.communicate(timeout=60)

    assert second.returncode == 0, second.stderr
    assert first.returncode == 1
    assert "took over" in stderr
    assert "nothing is done twice" in stderr
    assert values(await dlq.redriven()) == list(range(600))


async def test_a_redriven_event_goes_to_its_group_with_its_identity(dlq):
    """By its key's partition, in order for the key, and to no other group."""
    await dlq.put(dlq.letters(40, redrives=1))

    assert dlq.run("redrive", "--yes").returncode == 0

    records = await dlq.redriven()
    assert values(records) == list(range(40))
    assert await dlq.redriven("db-server-group") == []
    by_key = {}
    for record in records:
        headers = dict(record.headers)
        number = int(record.value)
        assert record.partition == murmur2(record.key) % 3
        assert headers["tenant"] in {b"acme", b"other"}
        assert headers["trunkline.record"] == b"redriven"
        assert headers["trunkline.redrives"] == b"2"
        assert headers["__streams.errors.topic"] == f"{dlq.namespace}.order.created".encode()
        assert headers["__streams.errors.offset"] == str(number).encode()
        assert headers["trunkline.timestamp-ms"] == str(1_700_000_000_000 + number).encode()
        assert "__streams.errors.stacktrace" not in headers
        by_key.setdefault(record.key, []).append(number)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


async def test_a_dry_run_changes_nothing(dlq):
    """It says what would go where, and what would not, by reason."""
    await dlq.put(
        [
            *dlq.letters(5),
            *dlq.letters(2, redrives=3),
            *dlq.letters(1, group="billing"),
            Record(topic=f"{dlq.namespace}.dlq.auth.registered", headers=SPRING),
        ]
    )

    looked = dlq.run("redrive", "--dry-run", "--json")

    assert looked.returncode == 0, looked.stderr
    found = json.loads(looked.stdout)
    assert found["dry_run"] is True
    assert found["redriven"] == 0
    assert found["plan"] == [
        {
            "to": f"{dlq.namespace}.engine-group.failures",
            "group": "engine-group",
            "topic": "order.created",
            "count": 5,
        }
    ]
    assert {(r["reason"], r["count"]) for r in found["refused"]} == {
        ("redriven 3 times already (--max-redrives, --force)", 2),
        ("group billing is none of ours", 2),
    }
    assert await dlq.redriven() == []
    assert await dlq.actions() == []


async def test_the_loop_guard_refuses_unless_forced(dlq):
    """Exit status 1 when all that was meant is refused."""
    await dlq.put(dlq.letters(3, redrives=3))

    refused = dlq.run("redrive", "--yes")
    forced = dlq.run("redrive", "--yes", "--force")

    assert refused.returncode == 1
    assert "redriven 3 times already" in refused.stdout
    assert forced.returncode == 0
    assert {dict(r.headers)["trunkline.redrives"] for r in await dlq.redriven()} == {b"4"}


async def test_redrives_only_what_the_filters_mean(dlq):
    """Header and limit, then an id; what is redriven is no longer open."""
    await dlq.put(dlq.letters(30))

    limited = dlq.run("redrive", "--yes", "--header", "tenant=other", "--limit", "4")
    single = dlq.run("redrive", "--yes", "dlq.order.created[1]@2")
    again = dlq.run("redrive", "--yes", "dlq.order.created[1]@2")

    assert (limited.returncode, single.returncode, again.returncode) == (0, 0, 1)
    found = values(await dlq.redriven())
    assert 5 in found
    assert len(found) == 5
    assert all(number % 3 == 0 for number in found if number != 5)
    assert "25 dead letters" in dlq.run("ls").stdout


async def test_discards_and_does_not_redrive_what_is_discarded(dlq):
    """It is still there with --all; without a filter it asks for one."""
    await dlq.put(dlq.letters(6))

    unfiltered = dlq.run("discard", "--yes")
    unasked = dlq.run("discard", "--key", "user-0")
    discarded = dlq.run("discard", "--yes", "--key", "user-0")
    redriven = dlq.run("redrive", "--yes")

    assert (unfiltered.returncode, unasked.returncode) == (2, 2)
    assert "Say which" in unfiltered.stderr
    assert "--yes" in unasked.stderr
    assert "2 dead letters were discarded." in discarded.stdout
    assert "4 dead letters were redriven." in redriven.stdout
    assert values(await dlq.redriven()) == [1, 2, 3, 5]
    assert "No dead letters." in dlq.run("ls").stdout
    assert "6 dead letters" in dlq.run("ls", "--all").stdout


async def test_exported_lines_come_back_edited_and_only_once(dlq, tmp_path):
    """Keys and values that are no text too; the same file a second time does nothing."""
    await dlq.put([*dlq.letters(3), dlq.letter(3)._replace(key=b"\xff\x00", value=b"\xfe")])
    file = tmp_path / "letters.ndjson"

    exported = dlq.run("export", "-o", str(file))
    twice = dlq.run("export", "-o", str(file))
    file.write_text(file.read_text().replace('"value": "1"', '"value": "1001"'))
    imported = dlq.run("import", "--yes", str(file))
    again = dlq.run("import", "--yes", "-", stdin=file.read_text())

    assert (exported.returncode, twice.returncode) == (0, 2)
    assert imported.returncode == 0, imported.stderr
    assert "4 dead letters were redriven." in imported.stdout
    assert again.returncode == 1
    assert "already redriven" in again.stdout
    records = await dlq.redriven()
    assert {(r.key, r.value) for r in records} == {
        (b"user-0", b"0"),
        (b"user-1", b"1001"),
        (b"user-2", b"2"),
        (b"\xff\x00", b"\xfe"),
    }
    assert len(records) == 4
    assert "No dead letters." in dlq.run("ls").stdout


async def test_a_wrong_line_is_named_and_nothing_is_done(dlq):
    """All lines are checked first."""
    await dlq.put(dlq.letters(2))
    lines = dlq.run("export").stdout + '{"id": 7}\n'

    imported = dlq.run("import", "--yes", "-", stdin=lines)

    assert imported.returncode == 2
    assert "Line 3 is no exported dead letter" in imported.stderr
    assert await dlq.redriven() == []


async def test_an_event_that_kafka_refuses_holds_up_no_other(dlq):
    """It is named with the reason, and stays open; exit status 1."""
    await dlq.put(dlq.letters(4))
    lines = dlq.run("export").stdout.replace('"value": "2"', '"value": "' + "x" * 2_500_000 + '"')

    imported = dlq.run("import", "--yes", "-", stdin=lines)

    assert imported.returncode == 1
    assert "Kafka refuses" in imported.stderr
    assert "3 dead letters were redriven." in imported.stdout
    assert values(await dlq.redriven()) == [0, 1, 3]
    assert "1 dead letter, 1 fingerprint." in dlq.run("ls").stdout
