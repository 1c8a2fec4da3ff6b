"""The system of compose.yaml, as ``docker compose up`` starts it: its patterns, and its failures.

Three brokers, PostgreSQL and every service with its replicas. The tests share it; each has users of
its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.containers.compose import BROKERS, System
from tests.containers.load import Load
from tests.containers.needs import need_compose
from tests.containers.pod import Pod
from tests.support import eventually
from trunkline.topology import SERVICES, TOPICS

# Where the machine does more than this, its start takes longer than other tests' whole time.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]
REGISTERED = "auth.registered"
USERS = 200


@pytest.fixture(scope="module")
def system(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give the whole system, started, all of it ready: whichever test comes first."""
    need_compose()
    with System(tmp_path_factory.mktemp("compose")) as system:
        asyncio.run(ready(*(pod for service in SERVICES for pod in system.pods(service.name))))
        yield system


@pytest.fixture(autouse=True)
def logs(system: System, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what the containers wrote, where the test failed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        system.print_logs()


async def ready(*pods: Pod, timeout_s: float = 400) -> None:
    reasons = dict.fromkeys(pods, "")

    def all_ready() -> bool:
        for pod in list(reasons):
            reasons[pod] = pod.why_not_ready()
            if not reasons[pod]:
                del reasons[pod]
        return not reasons

    try:
        await eventually(all_ready, timeout_s)
    except AssertionError:
        waiting = "; ".join(f"{pod.name}: {reason}" for pod, reason in reasons.items())
        pytest.fail(f"Not ready within {timeout_s:g} s: {waiting}", pytrace=False)


def count(system: System, prefix: str) -> tuple[int, int]:
    """Return how many rows the users of a test have, and how many users have one."""
    ((rows, users),) = system.sql(
        "select count(*), count(distinct user_id) from registered_users "
        f"where user_id like '{prefix}-%'"
    )
    return int(rows), int(users)


async def test_every_service_of_the_topology_becomes_ready_and_healthy(system: System) -> None:
    """As many pods as declared, each by the name that Docker gave it."""
    pods = {service.name: system.pods(service.name) for service in SERVICES}

    assert {name: len(found) for name, found in pods.items()} == {s.name: s.pods for s in SERVICES}
    for service in pods.values():
        assert {pod.stats()["pod"] for pod in service} == {pod.name for pod in service}
    sick = [pod for service in pods.values() for pod in service]

    def all_healthy() -> bool:
        sick[:] = [pod for pod in sick if pod.health() != "healthy"]
        return not sick

    await eventually(all_healthy, 120, what="all containers to be healthy")


async def test_topics_have_three_copies_of_which_two_acknowledge(system: System) -> None:
    """The one-shot container made them when all three brokers were there."""
    topics = {topic["topic"]: topic for topic in system.trunkline("topics", "ls")}

    assert {topic.name for topic in TOPICS} <= set(topics)
    assert {topic["replication_factor"] for topic in topics.values()} == {3}
    assert {topic["configs"]["min.insync.replicas"] for topic in topics.values()} == {"2"}


async def test_the_console_shows_pages_with_their_styles(system: System) -> None:
    """Templates and static files are in the image."""
    console = system.pod("console")

    page = console.page("/console/topics")

    assert REGISTERED in page
    assets = re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page)
    assert assets
    assert all(console.page(asset) for asset in assets)


async def test_registrations_are_rows_and_orders_are_totals(system: System) -> None:
    """Two groups read one topic; each event counts once in each, whichever pod had it."""
    users = [f"pattern-{n}" for n in range(USERS)]
    registered = [{"userId": user, "email": f"{user}@example.com"} for user in users]
    ordered = [
        {"orderId": f"o-{u}-{n}", "userId": u, "amountCents": 5} for u in users for n in (0, 1)
    ]

    assert system.pod("auth-service").post(f"/events/{REGISTERED}", registered) == 202
    assert system.pod("order-service").post("/events/order.created", ordered) == 202

    sums = (
        "select count(*), sum(registrations), sum(orders), sum(total_cents) from user_totals "
        "where user_id like 'pattern-%'"
    )
    expected = [[str(USERS), str(USERS), str(2 * USERS), str(10 * USERS)]]
    await eventually(lambda: system.sql(sums) == expected, 120, what=f"totals {expected}")
    await eventually(
        lambda: count(system, "pattern") == (USERS, USERS), 120, what="a row for each registration"
    )
    for service in ("db-server", "engine"):
        assert all(pod.stats()["handled"] for pod in system.pods(service)), f"idle pod of {service}"


async def test_activity_of_three_services_is_counted_together(system: System) -> None:
    """Fan-in: the counts of both processors add up to what was posted."""
    sources = ("auth-service", "web-service", "mobile-service")
    for source in sources:
        events = [
            {"event": "container_view", "userId": f"a-{n}", "source": source} for n in range(60)
        ]
        assert system.pod(source).post("/events/user.activity", events) == 202

    def counted() -> dict[str, int]:
        sums = dict.fromkeys(sources, 0)
        for pod in system.pods("activity-processor"):
            for row in pod.stats()["activity"]:
                if row["event"] == "container_view":
                    sums[row["source"]] += row["count"]
        return sums

    await eventually(
        lambda: counted() == dict.fromkeys(sources, 60), 120, what="60 events of each source"
    )


async def test_a_notification_reaches_the_clients_of_both_pods(system: System) -> None:
    """Fan-out: it was posted to one of them."""
    pods = system.pods("notification-service")
    with ExitStack() as streams:
        opened = [streams.enter_context(pod.listening("/notifications/n-1")) for pod in pods]
        event = {"userId": "n-1", "message": "to all"}

        assert pods[0].post("/events/user.notification.sent", event) == 202

        for stream in opened:
            heard = await asyncio.to_thread(next, (line for line in stream if b"to all" in line))
            assert json.loads(heard.removeprefix(b"data:"))["userId"] == "n-1"


async def test_a_failing_event_is_retried_becomes_a_dead_letter_and_is_redriven(
    system: System,
) -> None:
    """The database refuses a user's row until it is mended; the redrive stores it, once."""
    system.execute(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin raise unique_violation using message = 'quota exceeded'; end $$; "
        "create trigger drill before insert on registered_users for each row "
        "when (new.user_id = 'drill-1') execute function refuse()"
    )
    event = {"userId": "drill-1", "email": "drill-1@example.com"}
    assert system.pod("auth-service").post(f"/events/{REGISTERED}", event) == 202

    def letters() -> list[dict[str, object]]:
        return [
            row for row in system.trunkline("dlq", "ls", "--letters") if row["key"] == "drill-1"
        ]

    (letter,) = await eventually(letters, 120, what="the dead letter")
    assert (letter["group"], letter["attempts"]) == ("db-server-group", 4)
    assert "quota exceeded" in str(letter["message"])

    system.execute("drop trigger drill on registered_users")
    system.pod("dlq").run("trunkline", "dlq", "redrive", "--topic", REGISTERED, "--yes")
    assert letters() == []
    await eventually(lambda: count(system, "drill") == (1, 1), 120, what="the redriven event's row")


async def test_a_killed_pod_that_is_back_in_time_costs_no_event_and_no_rebalance(
    system: System,
) -> None:
    """SIGKILL under load; static membership by the container's name keeps its partitions for it."""
    killed, neighbour = system.pods("db-server")
    rebalances = neighbour.stats()["rebalances"]

    with Load(system.pod("auth-service"), "killed-pod") as load:
        await eventually(lambda: load.accepted >= 200, 120, what="load before the kill")
        killed.kill()
        at_the_kill = load.accepted
        killed.start()
        await eventually(
            lambda: load.accepted >= at_the_kill + 200, 120, what="load after the kill"
        )
        await ready(killed)

    expected = (load.accepted, load.accepted)
    await eventually(lambda: count(system, "killed-pod") == expected, 120, what=f"{expected} rows")
    assert neighbour.stats()["rebalances"] == rebalances
    assert killed.stats()["assigned"]


async def test_a_killed_broker_costs_no_accepted_event(system: System) -> None:
    """Each broker leads a part of the partitions: the others take over, and it comes back."""
    (broker,) = system.containers(BROKERS[1])
    with Load(system.pod("auth-service"), "killed-broker") as load:
        await eventually(lambda: load.accepted >= 200, 120, what="load before the kill")
        broker.kill()
        at_the_kill, died_at = load.accepted, time.monotonic()
        await eventually(lambda: load.accepted > at_the_kill, 120, what="posts taken without it")
        print(f"posts were taken again {time.monotonic() - died_at:.1f} s after the kill")
        await eventually(lambda: load.accepted >= at_the_kill + 400, 120, what="load without it")
        broker.start()

    def rows_are_right() -> bool:
        rows, users = count(system, "killed-broker")
        return rows == users and load.accepted <= rows <= load.accepted + load.unknown

    await eventually(rows_are_right, 120, what=f"{load.accepted} rows, and {load.unknown} at most")
    rows, _ = count(system, "killed-broker")
    totals = "select sum(registrations) from user_totals where user_id like 'killed-broker-%'"
    await eventually(lambda: system.sql(totals) == [[str(rows)]], 120, what="the engine's totals")
    await ready(*(pod for service in SERVICES for pod in system.pods(service.name)))


async def test_a_stopped_pod_ends_in_time_with_exit_code_0(system: System) -> None:
    """`docker stop` under load: it drains, commits, and its successor goes on where it was."""
    pod = system.pods("engine")[0]
    with Load(system.pod("auth-service"), "stopped-pod") as load:
        await eventually(lambda: load.accepted >= 200, 120, what="load before the stop")
        exit_code = await asyncio.to_thread(pod.terminate)
        pod.start()
        await ready(pod)

    assert exit_code == 0  # 137: it had to be killed after 20 s
    totals = "select sum(registrations) from user_totals where user_id like 'stopped-pod-%'"
    await eventually(
        lambda: system.sql(totals) == [[str(load.accepted)]], 120, what="the engine's totals"
    )
