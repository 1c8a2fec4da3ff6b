"""A real three-node Kafka with TLS, users and ACLs: least rights, refusals, rights taken away."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.secure import SecureStage, connection
from trunkline.delivery.producer import OutRecord
from trunkline.security.refusal import why_refused
from trunkline.topics.acl_changes import grant, revoke
from trunkline.topics.acls import Acl, Rights
from trunkline.topics.administration import read_topics
from trunkline.topics.connecting import why_no_answer
from trunkline.topology import AUTH_REGISTERED, CONSOLE_SERVICE, DLQ_SERVICE, Topology
from trunkline.verifying.operator import dead_letters
from trunkline.verifying.patterns import FAN_IN, FANOUT, REDRIVEN, RETRIED
from trunkline.verifying.patterns.events import registrations
from trunkline.verifying.workers import WorkerProcess

pytestmark = pytest.mark.kafka

DENIALS = ("lacks a right", "AUTHORIZATION_FAILED", "Not authorized")


@pytest.fixture(autouse=True)
def _as_operator(secure_kafka, monkeypatch):
    """Commands are run by an operator, who has an operator's rights."""
    for name in [name for name in os.environ if name.startswith(("KAFKA_", "TRUNKLINE_NAME"))]:
        monkeypatch.delenv(name)
    for name, value in secure_kafka.user("operator").items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stage_for(secure_kafka, namespace, tmp_path):
    """Return what makes a stage for services."""

    def make(*services):
        stage = SecureStage(connection(secure_kafka.user("admin")), namespace, tmp_path, services)
        stage.secure = secure_kafka
        return stage

    return make


def assert_clean(folder, secure_kafka):
    """Nothing was denied, and no password was written."""
    for log in folder.rglob("*.log"):
        text = log.read_text(errors="replace")
        assert not [line for line in text.splitlines() if any(said in line for said in DENIALS)]
        for user, password in secure_kafka.broker.security.passwords.items():
            assert password not in text, user


@pytest.mark.parametrize("pattern", [RETRIED, REDRIVEN, FANOUT, FAN_IN], ids=lambda p: p.name)
async def test_services_work_with_exactly_the_printed_rights(
    pattern, stage_for, tmp_path, secure_kafka
):
    """What verify counts on an open cluster is counted here too, and nothing is denied."""
    async with stage_for(*pattern.services) as stage:
        expected, counted = await pattern.play(stage)

    assert counted == expected
    assert_clean(tmp_path, secure_kafka)


async def test_the_other_services_start_with_exactly_the_printed_rights(
    stage_for, tmp_path, secure_kafka
):
    """By a certificate, a token, PLAIN and SCRAM: publisher, consumer, index and console."""
    services = ["order-service", "engine", DLQ_SERVICE, CONSOLE_SERVICE]
    known_by = [
        secure_kafka.token("order-service"),
        secure_kafka.certificate("engine"),
        secure_kafka.user(DLQ_SERVICE, "PLAIN"),
        secure_kafka.user(CONSOLE_SERVICE, "SCRAM-SHA-256"),
    ]
    async with stage_for(*(service.name for service in Topology().services)) as stage:
        pods = [
            WorkerProcess(
                service,
                servers=environment["KAFKA_BOOTSTRAP_SERVERS"],
                namespace=stage.topology.namespace,
                directory=tmp_path,
                env=without_the_operators(environment),
            )
            for service, environment in zip(services, known_by, strict=True)
        ]
        try:
            for pod in pods:
                pod.start()
            for pod in pods:
                await pod.wait_ready()
            status, body = await pods[3].get("/api/topics")
        finally:
            for pod in pods:
                await pod.stop()

    assert status == 200, body
    assert_clean(tmp_path, secure_kafka)


def without_the_operators(environment):
    """Return it without what the test process has itself: an empty variable counts as unset."""
    return {name: "" for name in os.environ if name.startswith("KAFKA_")} | environment


def wrong(secure, case):
    """Return a connection that is refused, and what is said of it."""
    admin = secure.user("admin")
    plaintext = {"KAFKA_BOOTSTRAP_SERVERS": secure.servers}
    cases = {
        "password": (
            secure.user("engine", KAFKA_SASL_PASSWORD="wrong"),
            "it refuses user 'engine' with SCRAM-SHA-512: wrong KAFKA_SASL_USERNAME or",
        ),
        "user": (
            secure.user("engine", KAFKA_SASL_USERNAME="nobody"),
            "it refuses user 'nobody' with SCRAM-SHA-512",
        ),
        "password with PLAIN": (
            secure.user("engine", "PLAIN", KAFKA_SASL_PASSWORD="wrong"),
            "it refuses user 'engine' with PLAIN",
        ),
        "token": (
            secure.token("engine", life_s=-60),
            "it refuses the OAUTHBEARER token",
        ),
        "authority": (
            {**admin, "KAFKA_SSL_CA_FILE": str(secure.folder / "clients-ca.pem")},
            "its certificate is signed by none that we trust",
        ),
        "plaintext to TLS": (
            plaintext,
            "it speaks TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        ),
        "no certificate": (
            {**admin, "KAFKA_BOOTSTRAP_SERVERS": secure.ssl_servers},
            "our certificate is missing: see KAFKA_SSL_CERT_FILE",
        ),
    }
    return cases[case]


@pytest.mark.parametrize(
    "case",
    [
        "password",
        "user",
        "password with PLAIN",
        "token",
        "authority",
        "plaintext to TLS",
        "no certificate",
    ],
)
async def test_a_refusal_names_what_is_wrong_and_what_to_do(secure_kafka, case):
    """The broker's own client would only say that the connection failed."""
    environment, said = wrong(secure_kafka, case)
    refused = connection(environment)

    text = await why_no_answer(refused)

    assert said in text
    assert "refuses us" in text
    assert_no_password(text, secure_kafka)


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
async def test_not_even_the_log_of_all_requests_shows_a_credential(secure_kafka, caplog, mechanism):
    """With ``-l debug`` aiokafka logs what it sends, and these two send what they have."""
    if mechanism == "PLAIN":
        environment = secure_kafka.user("engine", mechanism)
        credential = environment["KAFKA_SASL_PASSWORD"]
    else:
        environment = secure_kafka.token("engine")
        file = Path(environment["KAFKA_SASL_OAUTH_TOKEN_FILE"])
        # The log shows the beginning of what is sent.
        credential = file.read_text()[:40]  # noqa: ASYNC240 - a line, locally

    with caplog.at_level(logging.DEBUG, "aiokafka"):
        server = secure_kafka.servers.split(",")[0]
        assert await why_refused(server, connection(environment)) is None

    assert "SaslAuthenticateRequest_v" in caplog.text
    assert credential not in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KAFKA_SASL_PASSWORD": "wrong-s3cret"}, "it refuses user 'engine'"),
        ({}, "does not give user 'engine' all rights"),
        (None, "it refuses the OAUTHBEARER token"),
    ],
    ids=["wrong password", "no rights", "expired token"],
)
async def test_a_worker_that_is_refused_ends_and_says_so(
    secure_kafka, namespace, tmp_path, changes, said
):
    """Exit code 1, for a supervisor to try again; all missing rights are listed at once."""
    worker = WorkerProcess(
        "engine",
        servers=secure_kafka.servers,
        namespace=namespace,
        directory=tmp_path,
        env=without_the_operators(
            secure_kafka.token("engine", life_s=-60)
            if changes is None
            else secure_kafka.user("engine", **changes)
        ),
    )
    worker.start()

    code = await worker.wait(60)

    text = worker.log_file.read_text()
    assert code == 1
    assert said in text
    assert "Traceback" not in text
    assert "s3cret" not in text
    assert_no_password(text, secure_kafka)
    if changes == {}:
        assert f"missing: Read on group {namespace}.engine-group" in text
        assert "trunkline topics acls --service engine --apply" in text


def assert_no_password(text, secure_kafka):
    assert not [p for p in secure_kafka.broker.security.passwords.values() if p in text]


def test_a_command_that_is_refused_ends_with_1(secure_kafka):
    """And says so in a line."""
    wrong_password = {**os.environ, **secure_kafka.user("operator", KAFKA_SASL_PASSWORD="wrong")}
    done = subprocess.run(
        [sys.executable, "-m", "trunkline", "retries", "ls"],
        env=wrong_password,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "it refuses user 'operator'" in done.stderr
    assert "Traceback" not in done.stderr


async def test_an_operator_may_not_make_topics(secure_kafka, namespace):
    """Kafka's denial in words; what is not seen is not said to be missing."""
    with pytest.raises(
        Exception, match=r"AUTHORIZATION_FAILED.*see what this user needs: trunkline topics acls"
    ):
        await read_topics(connection(secure_kafka.user("operator")), Topology(namespace))


LOST = {
    "reading": lambda t: [Acl("topic", t.topic(AUTH_REGISTERED).name, ("Read",))],
    "group": lambda t: [Acl("group", t.service("db-server").group, ("Read",))],
    "handing over": lambda t: [
        Acl("topic", t.failures_topic(t.service("db-server").group).name, ("Write",))
    ],
}


#: A hand-over may also say that its transaction was rolled back, after the first time.
SAID = {
    "reading": "is not read: this user lacks a right on topic",
    "group": "this user lacks a right on group",
    "handing over": "Could not hand over",
}


@pytest.mark.parametrize("lost", LOST)
async def test_a_right_that_is_taken_away_is_said_and_nothing_is_lost(
    stage_for, tmp_path, secure_kafka, lost
):
    """The worker goes on, says which right it lacks, and catches up when it has it again."""
    admin = connection(secure_kafka.user("admin"))
    async with stage_for("db-server") as stage:
        (pod,) = stage.pods("db-server", 1, TRUNKLINE_SESSION_TIMEOUT_S="6")
        await stage.start(pod)
        await stage.publish(AUTH_REGISTERED, registrations(0, 20))
        assert await stage.settle({"rows": 20}, lambda: rows(stage)) == {"rows": 20}
        right = LOST[lost](stage.topology)
        assert await revoke(admin, right, "User:db-server") == 1

        bad = 0
        topic = stage.topology.topic(AUTH_REGISTERED).name
        await stage.publish(AUTH_REGISTERED, registrations(20, 20))
        for _ in range(200):
            if SAID[lost] in pod.log_tail(500):
                break
            if lost == "handing over":
                # Brokers hear of the change one by one: what fails before is still handed over.
                await stage.send([OutRecord(topic, b"{not JSON", b"user-%d" % bad)])
                bad += 1
            await asyncio.sleep(0.2)
        assert SAID[lost] in pod.log_tail(500)
        assert pod.running
        assert await stage.committed("db-server", AUTH_REGISTERED) < 40 + bad
        await grant(admin, [Rights("db-server", right)], lambda who: f"User:{who}")

        expected = {"rows": 40, "dead": bad, "committed": 40 + bad}
        assert await stage.settle(expected, lambda: fates(stage)) == expected
        assert pod.running
    assert_no_password(pod.log_file.read_text(), secure_kafka)


async def rows(stage):
    return {"rows": stage.database("db-server").users()["rows"]}


async def fates(stage):
    dead = await dead_letters(stage, AUTH_REGISTERED)
    committed = await stage.committed("db-server", AUTH_REGISTERED)
    return {**await rows(stage), "dead": len(dead), "committed": committed}
