"""CloudEvents on a real Kafka: their own SDK (npm) publishes what we handle, and reads ours."""

from __future__ import annotations

import json

import pytest

from tests.support.command import commands
from tests.support.journal import journal_group, publish
from tests.support.kafka import create_topics, read_all
from tests.support.node import foreign_scripts
from tests.support.waiting import eventually
from trunkline.cloudevents import kafka as cloudevents
from trunkline.dead_letters.reading import read_dead_letter
from trunkline.dead_letters.redrive import redrive_record
from trunkline.delivery.failure import original_headers
from trunkline.topology import AUTH_REGISTERED

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="session")
def script():
    return foreign_scripts()


def cloud_event(order, number, **changes):
    return {
        "id": f"{order}-{number}",
        "source": "https://example.com/shop",
        "type": "com.example.registered",
        "partitionkey": f"{order}-{number}",
        "datacontenttype": "application/json",
        "data": {"userId": f"{order}-{number}", "email": f"{order}@example.com", "x": [1.5, "ü"]},
        **changes,
    }


async def test_theirs_are_handled_retried_buried_and_redriven(kafka, namespace, tmp_path, script):
    """In both modes; what fails keeps its value and headers byte for byte through every hop."""
    orders = ("ok", "fail-1", "bad")
    posts = [
        {"mode": mode, "event": cloud_event(order, mode), "partition": 0}
        for order in orders
        for mode in ("binary", "structured")
    ]
    wrong = cloud_event("wrong", "structured", data={"userId": "u"})
    posts.append({"mode": "structured", "event": wrong, "partition": 0})
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        group.start(TRUNKLINE_RETRY_BACKOFF="fixed:0.1")
        await script("publish_cloudevents.mjs", kafka, group.topic, stdin=json.dumps(posts))
        await group.wait_handled(4)
        published = {record.key: record for record in await read_all(kafka, group.topic)}

        async def buried():
            return len(await group.dead()) == 3

        await eventually(buried, 30, "three dead letters")
        dead = {record.key: record for record in await group.dead()}
        assert set(dead) == {b"bad-binary", b"bad-structured", b"wrong-structured"}
        for key, record in dead.items():
            assert record.value == published[key].value
            assert original_headers(record.headers) == list(published[key].headers)
        letter = read_dead_letter(dead[b"wrong-structured"])
        assert (letter.kind, letter.message[:12]) == ("invalid", "$.data: Obje")

        group.gate.touch()
        letters = [read_dead_letter(dead[key]) for key in (b"bad-binary", b"bad-structured")]
        await publish(kafka, [redrive_record(each, group.failures) for each in letters])
        await group.wait_handled(6)
    handled = {entry.key for entry in group.entries() if entry.what == "end"}
    assert handled == {f"{order}-{mode}" for order in orders for mode in ("binary", "structured")}


async def test_their_sdk_reads_ours(kafka, namespace, script):
    """What ``trunkline publish --cloudevents`` writes, in both modes."""
    topic = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {topic: 1})
    data = {"userId": "1", "email": "ada@example.com"}
    with commands(kafka, namespace) as make:
        for mode in ("binary", "structured"):
            words = ("--event", json.dumps(data), "--cloudevents", mode)
            done = await make().run("publish", AUTH_REGISTERED, *words)
            assert done.code == 0, done.err
    found = await script("read_cloudevents.mjs", kafka, topic, 2, f"{namespace}.sdk")
    records = await read_all(kafka, topic)
    assert [event["mode"] for event in found] == ["binary", "structured"]
    for event, record in zip(found, records, strict=True):
        ours = cloudevents.read(record.headers, record.value).event
        assert (event["id"], event["source"], event["type"]) == (ours.id, "/cli", AUTH_REGISTERED)
        assert event["data"] == data
        assert record.key == b"1"
