"""A console that is killed in the middle of a redrive: the same order goes on, each event once."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

from tests.support.audit import audit_records
from tests.support.dlq import Dlq
from tests.support.waiting import eventually
from tests.support.worker import workers

pytestmark = pytest.mark.kafka

COUNT = 200
ORDER = {"topic": "order.created", "rate": 10}


def order(console, path, body):
    """Order something of the console."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{console.port}/api/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def test_killed_in_the_middle_the_same_order_goes_on(kafka, namespace, tmp_path):
    """None twice, none missing; the audit trail has a beginning without an end, and both."""
    dlq = Dlq(kafka, namespace)
    await dlq.prepare()
    await dlq.put(dlq.letters(COUNT))
    with workers(tmp_path, kafka, namespace) as start:
        console = start("console.1", TRUNKLINE_SERVICE="console")
        await console.wait_ready()
        preview = await asyncio.to_thread(
            order, console, "dead-letters/redrive", {**ORDER, "dry_run": True}
        )
        assert preview["preview"]["count"] == COUNT
        job = await asyncio.to_thread(order, console, "dead-letters/redrive", ORDER)
        assert job["state"] == "running"

        async def some_are_done():
            _, found = await console.get(f"/api/jobs/{job['job']}")
            return found.get("done", 0) >= 10

        await eventually(some_are_done, 60, "some redriven events")
        console.kill()
        before = len(await dlq.redriven())
        assert 0 < before < COUNT

        again = start("console.2", TRUNKLINE_SERVICE="console")
        await again.wait_ready()
        body = {**ORDER, "rate": 1_000}
        job = await asyncio.to_thread(order, again, "dead-letters/redrive", body)

        async def is_over():
            _, found = await again.get(f"/api/jobs/{job['job']}")
            return found if found.get("state") not in (None, "running") else None

        ended = await eventually(is_over, 60, "the end of the redrive")
        assert ended["state"] == "done", ended
        assert ended["outcome"]["count"] == COUNT - before

    values = sorted(int(record.value) for record in await dlq.redriven())
    assert values == list(range(COUNT))
    trail = await audit_records(kafka, dlq.topology)
    assert [(r.action, r.phase, r.count) for r in trail] == [
        ("dlq.redrive", "begun", COUNT),
        ("dlq.redrive", "begun", COUNT - before),
        ("dlq.redrive", "ended", COUNT - before),
    ]
    assert trail[-1].result == {"redriven": COUNT - before, "already": 0}
