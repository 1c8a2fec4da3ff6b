"""The dlq service as a worker: dead letters and actions in Kafka, counts over HTTP."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.support.dlq import Dlq
from tests.support.journal import publish
from tests.support.kafka import read_all
from tests.support.offsets import committed_offsets, end_offsets
from tests.support.postgres import run_sql
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.delivery.producer import OutRecord
from trunkline.topology import AUTH_REGISTERED

pytestmark = pytest.mark.kafka

MANY = 20_000
#: Times that a pod is started to be killed, for one kill in the middle of its work.
ROUNDS = 5


@pytest.fixture
async def dlq(kafka, namespace):
    """The topics, empty; and the command line."""
    dlq = Dlq(kafka, namespace)
    await dlq.prepare()
    return dlq


@pytest.fixture
def start(kafka, namespace, tmp_path):
    """Return a function that starts pods of the dlq service, or of another."""
    with workers(tmp_path, kafka, namespace) as start:
        yield lambda name, service="dlq", **env: start(name, TRUNKLINE_SERVICE=service, **env)


async def rows(pod, query=""):
    """Return the fingerprints that a pod shows; none while it does not answer."""
    status, body = await pod.get(f"/dead-letters{query}")
    return body["fingerprints"] if status == 200 else []


async def wait_counts(pod, expected, timeout_s=60):
    """Wait until open, redriven and discarded are so, by exception."""

    async def fits():
        found = {
            row["exception"]: (row["open"], row["redriven"], row["discarded"])
            for row in await rows(pod)
        }
        return found == expected

    try:
        await eventually(fits, timeout_s, f"the counts {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error} It shows {await rows(pod)}\n{pod.tail()}") from None


async def test_counts_letters_and_what_is_done_with_them(dlq, start):
    """Two causes; one is redriven, the other discarded, by the command line."""
    pod = start("pod-1")
    await pod.wait_ready()
    lost = [dlq.letter(number, exception="shop.Lost") for number in range(30)]
    await dlq.put([*dlq.letters(50), *lost])
    await wait_counts(pod, {"builtins.ValueError": (50, 0, 0), "shop.Lost": (30, 0, 0)})

    redriven = dlq.run("redrive", "--exception", "shop.Lost", "--yes")
    discarded = dlq.run("discard", "--exception", "ValueError", "--yes")

    assert (redriven.returncode, discarded.returncode) == (0, 0), (redriven, discarded)
    await wait_counts(pod, {"builtins.ValueError": (0, 0, 50), "shop.Lost": (0, 30, 0)})
    [row] = await rows(pod, "?status=redriven&topic=order.created&group=engine-group")
    _, page = await pod.get(f"/dead-letters/{row['fingerprint']}?limit=20")
    _, last = await pod.get(f"/dead-letters/{row['fingerprint']}?after={quote(page['next'])}")
    letters = [*page["letters"], *last["letters"]]
    assert (len(letters), last["next"]) == (30, None)
    assert len({letter["id"] for letter in letters}) == 30
    assert {letter["status"] for letter in letters} == {"redriven"}

    async def summed_up():
        counts = (await pod.stats())["dead_letters"]
        return (counts["open"], counts["redriven"], counts["discarded"]) == (0, 30, 50)

    await eventually(summed_up, what="the counts in /stats")
    assert (await pod.get("/dead-letters?limit=0"))[0] == 400


async def test_counts_are_exact_when_a_pod_is_killed(dlq, start):
    """``kill -9`` of one of two pods in the middle: each letter once, whoever saw it twice."""
    lives = start("lives")
    await lives.wait_ready()

    async def count():
        shown = await rows(lives)
        return shown[0]["count"] if shown else 0

    total = 0
    for round_ in range(ROUNDS):
        dies = start(f"dies-{round_}")
        await dies.wait_ready()

        async def shared():
            return all([(await pod.stats()).get("assigned") for pod in (lives, dies)])  # noqa: B023  # called at once

        async def under_way():
            return await count() > total - MANY * 19 / 20  # noqa: B023  # called at once

        await eventually(shared, 30, "both pods to have partitions")
        await dlq.put(dlq.letters(MANY, first=total))
        total += MANY
        await eventually(under_way, 60, "work to be under way")
        dies.kill()
        if await count() < total:
            break
    else:
        pytest.fail(f"no pod could be killed in the middle in {ROUNDS} rounds")
    await wait_counts(lives, {"builtins.ValueError": (total, 0, 0)}, 120)
    group = dlq.topology.service("dlq").group
    topic = dlq.topology.dead_letters_topic("order.created").name
    ends = await end_offsets(dlq.kafka, topic)

    async def committed():
        return await committed_offsets(dlq.kafka, group, topic) == ends

    await eventually(committed, 60, f"{ends} to be committed")
    assert await count() == total


async def test_an_event_that_nobody_can_handle_is_found_and_redriven(dlq, start):
    """From the event through its group and its dead letter topic to the index, twice."""
    db_server, pod = start("db", "db-server"), start("pod-1")
    for worker in (db_server, pod):
        await worker.wait_ready()
    topic = dlq.topology.real_name(AUTH_REGISTERED)
    await publish(dlq.kafka, [OutRecord(topic, b'{"userId":"u","email":1}', key=b"u")] * 3)
    invalid = "trunkline.errors.InvalidEventError"
    await wait_counts(pod, {invalid: (3, 0, 0)})
    [row] = await rows(pod)
    assert (row["topic"], row["group"]) == (AUTH_REGISTERED, "db-server-group")
    assert row["place"] == "$.email: expected str, got int"

    redriven = dlq.run("redrive", "--fingerprint", row["fingerprint"], "--yes")

    assert redriven.returncode == 0, redriven
    await wait_counts(pod, {invalid: (3, 3, 0)})
    _, page = await pod.get(f"/dead-letters/{row['fingerprint']}?status=open")
    assert {letter["redrives"] for letter in page["letters"]} == {1}
    assert len({letter["origin"] for letter in page["letters"]}) == 3


async def test_waits_for_its_database_and_hands_nothing_over(dlq, start, postgresql_url):
    """The breaker holds the letters back, uncommitted; when the database is back, all count."""
    name = postgresql_url.rpartition("/")[2]
    server = f"{postgresql_url.rpartition('/')[0]}/postgres"
    pod = start("pod-1", DATABASE_URL=postgresql_url, TRUNKLINE_BREAKER_FIRST_PAUSE_S="0.2")
    await pod.wait_ready()
    await dlq.put(dlq.letters(20))
    await wait_counts(pod, {"builtins.ValueError": (20, 0, 0)})

    async def summed_up():
        return (await pod.stats())["dead_letters"]["open"] == 20

    await eventually(summed_up, what="the counts in /stats")
    await run_sql(server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    await run_sql(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name",
        name=name,
    )
    await dlq.put([dlq.letter(number, exception="shop.Later") for number in range(20, 60)])
    topic = dlq.topology.dead_letters_topic("order.created").name

    async def holds_back():
        stats = await pod.stats()
        return stats and stats["topics"][topic]["breaker"]["state"] != "closed"

    await eventually(holds_back, 30, "the breaker to open")
    status, body = await pod.get("/dead-letters")
    assert (status, list(body)) == (503, ["error"])
    assert (await pod.stats())["dead_letters"]["open"] == 20
    await run_sql(server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")

    await wait_counts(pod, {"builtins.ValueError": (20, 0, 0), "shop.Later": (40, 0, 0)})
    failures = dlq.topology.failures_topic(dlq.topology.service("dlq").group).name
    assert await read_all(dlq.kafka, failures) == []
