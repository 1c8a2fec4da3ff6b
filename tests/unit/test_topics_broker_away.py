"""No Kafka there: a clear error in a few seconds, and no noise."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, ConfigurationError
from trunkline.topics import apply, check_service_topics, plan
from trunkline.topics.connecting import quiet_aiokafka, why_no_answer
from trunkline.topology import Topology


async def _say_nothing(reader, writer):
    await reader.read()
    writer.close()


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: plan(connection, Topology()),
        lambda connection: apply(connection, Topology()),
        lambda connection: check_service_topics(connection, Topology(), "engine"),
    ],
    ids=["plan", "apply", "check"],
)
async def test_says_which_broker_does_not_answer_and_how_to_start_one(ask, free_port, caplog):
    """Address, reason and command in one line, and nothing of aiokafka's in the log."""
    expected = (
        f"Kafka at 127.0.0.1:{free_port} does not answer: connection refused; "
        "start it with: trunkline broker start"
    )

    with pytest.raises(BrokerError) as refused:
        await ask(KafkaConnection.plaintext(f"127.0.0.1:{free_port}"))

    assert str(refused.value) == expected
    assert caplog.records == []


async def test_gives_up_on_a_server_that_takes_connections_and_says_nothing(caplog):
    """Something else may listen there: the wait ends in seconds."""
    server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = time.monotonic()

    with pytest.raises(BrokerError, match="does not speak Kafka"):
        await plan(KafkaConnection.plaintext(f"127.0.0.1:{port}"), Topology())

    assert time.monotonic() - started < 20
    assert caplog.records == []
    server.close()


async def test_names_each_server_when_their_reasons_differ(free_port):
    """One refuses, the other does not exist."""
    text = await why_no_answer(
        KafkaConnection.plaintext(f"127.0.0.1:{free_port},kafka.invalid:9092")
    )

    assert f"127.0.0.1:{free_port}: connection refused; kafka.invalid:9092: " in text


@pytest.mark.parametrize("address", ["kafka", "kafka:port", ":9092", "kafka:70000"])
async def test_an_address_without_a_port_is_a_wrong_setting(address):
    """The message names the variable, the value and what it should look like."""
    with pytest.raises(ConfigurationError, match=f"KAFKA_BOOTSTRAP_SERVERS: '{address}' is not"):
        await plan(KafkaConnection.plaintext(address), Topology())


async def test_a_cluster_elsewhere_is_not_ours_to_start():
    """The hint names the setting instead of the embedded broker."""
    text = await why_no_answer(KafkaConnection.plaintext("kafka.invalid:9092"))

    assert "check KAFKA_BOOTSTRAP_SERVERS" in text
    assert "trunkline broker" not in text


def test_other_clients_of_the_process_go_on_logging(caplog):
    """Silence is only for what we raise ourselves."""
    log = logging.getLogger("aiokafka.conn")
    with quiet_aiokafka():
        log.error("ours")
    log.error("theirs")

    assert [record.message for record in caplog.records] == ["theirs"]
