"""One trace over all hops of an event: real workers, a real Kafka, OTLP over HTTP."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import urllib.request
from collections import Counter
from contextlib import closing

from tests.support.otlp import collector
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"


async def test_one_trace_from_publish_over_retry_and_dead_letter_to_redrive(
    kafka, namespace, tmp_path
):
    """Each hop is a span of the client's trace, whichever process it was in."""
    topology = Topology(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)
    topic = topology.real_name(AUTH_REGISTERED)
    with collector() as traces, workers(tmp_path, kafka, namespace) as start:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "TRUNKLINE_SESSION_TIMEOUT_S": "30",
            "TRUNKLINE_MAX_RETRIES": "1",
            "TRUNKLINE_RETRY_BACKOFF": "fixed:0.1",
        }
        publisher = start("auth-1", TRUNKLINE_SERVICE="auth-service", **environment)
        db = start("db-1", TRUNKLINE_SERVICE="db-server", **environment)
        await publisher.wait_ready()
        await db.wait_ready()
        database = tmp_path / "data" / "db-server.sqlite"
        sql(
            database,
            "CREATE TRIGGER drill BEFORE INSERT ON registered_users "
            "BEGIN SELECT RAISE(ABORT, 'quota exceeded'); END",
        )
        await asyncio.to_thread(post, publisher)
        await eventually(lambda: traces.named("dead letter"), 100, "the dead letter's span")
        sql(database, "DROP TRIGGER drill")
        await redrive(kafka, namespace, environment)
        await eventually(
            lambda: traces.named("retry", failed=False), 100, "the redriven event to be handled"
        )
    spans = traces.spans
    assert {span.trace_id for span in spans} == {TRACE}
    assert Counter((s.service, s.name, s.failed) for s in spans) == {
        ("auth-service", f"publish {topic}", False): 1,
        ("db-server", f"process {topic}", True): 1,
        ("db-server", f"retry {topic}", True): 1,
        ("db-server", f"dead letter {topology.dead_letters_topic(AUTH_REGISTERED).name}", False): 1,
        ("trunkline-dlq", f"redrive {topology.failures_topic('db-server-group').name}", False): 1,
        ("db-server", f"retry {topic}", False): 1,
    }
    (published,) = traces.named("publish")
    assert published.parent_id == CLIENT
    assert {span.parent_id for span in spans if span is not published} == {published.span_id}
    (redriven,) = traces.named("retry", failed=False)
    assert redriven.attributes["trunkline.redrives"] == "1"


def post(pod):
    request = urllib.request.Request(
        f"http://127.0.0.1:{pod.port}/events/auth.registered",
        data=b'{"userId": "1", "email": "u@example.com"}',
        headers={"Content-Type": "application/json", "traceparent": f"00-{TRACE}-{CLIENT}-01"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 202


def sql(file, statement):
    with closing(sqlite3.connect(file, timeout=20)) as connection:
        connection.execute(statement)
        connection.commit()


async def redrive(kafka, namespace, environment):
    command = [sys.executable, "-m", "trunkline", "dlq", "redrive", "--topic", AUTH_REGISTERED]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--yes",
        env={
            **os.environ,
            **environment,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "TRUNKLINE_NAMESPACE": namespace,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
