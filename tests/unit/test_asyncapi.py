"""The AsyncAPI document: the whole topology, no secret, and AsyncAPI's parser takes it."""

from __future__ import annotations

import copy
import json

import pytest
import yaml
from click.testing import CliRunner

from tests.support.node import foreign_scripts
from trunkline.asyncapi import as_yaml, asyncapi_document
from trunkline.cli import cli
from trunkline.connection import KafkaConnection
from trunkline.topology import Topology

CONNECTION = KafkaConnection(("kafka-1:9092", "kafka-2:9092"))


@pytest.fixture(scope="module")
def document():
    return asyncapi_document(Topology("shop"), CONNECTION)


def test_every_topic_is_a_channel(document):
    """Each with its address, partitions, retention and a purpose of its own."""
    topology = Topology("shop")
    channels = document["channels"]
    assert [channel["address"] for channel in channels.values()] == [
        topic.name for topic in topology.topics()
    ]
    created = channels["order.created"]
    assert created["address"] == "shop.order.created"
    assert created["bindings"]["kafka"]["partitions"] == 4
    assert created["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["delete"]
    unknown = [name for name, channel in channels.items() if "Record" in channel["messages"]]
    assert not unknown, f"say in trunkline/asyncapi/channels.py what these are for: {unknown}"


def test_every_service_sends_and_receives_what_it_declares(document):
    """An operation for each topic that a service publishes, reads or relays to."""
    for service in Topology("shop").services:
        for topic in (*service.publishes, *service.relays_to):
            assert f"{service.name}.send.{topic}" in document["operations"]
        for topic in service.reads:
            operation = document["operations"][f"{service.name}.receive.{topic}"]
            assert operation["bindings"]["kafka"]["groupId"]["enum"] == [f"shop.{service.group}"]


def test_messages_have_schemas_keys_and_headers(document):
    """An event's payload is its model; a failure says what its headers carry."""
    messages = document["components"]["messages"]
    order = messages["OrderCreated"]
    assert order["payload"] == {"$ref": "#/components/schemas/OrderCreated"}
    assert "userId" in order["bindings"]["kafka"]["key"]["description"]
    schema = document["components"]["schemas"]["OrderCreated"]
    assert schema["properties"]["amountCents"]["maximum"] == 10**15
    failed = messages["FailedEvent"]["headers"]
    assert "__streams.errors.exception" in failed["properties"]
    assert "trunkline.group" in failed["properties"]


def test_servers_say_how_to_enter_but_not_with_what():
    """TLS and SASL show as protocol and scheme; passwords and key files do not."""
    security = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "hugo",
        "sasl_plain_password": "s3cret",
    }
    document = asyncapi_document(Topology(), KafkaConnection(("kafka:9093",), security))
    server = document["servers"]["kafka-1"]
    assert server["protocol"] == "kafka-secure"
    assert document["components"]["securitySchemes"] == {"sasl": {"type": "scramSha512"}}
    assert "s3cret" not in str(document)
    assert "hugo" not in str(document)


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [1, -1, 2.5, True, None, "yes", "1", "~", "a: b", "#x", "", "ü\n\t\u2028"]}},
        {"yes": 1, "1": 2, "a b": [], "$ref": {}, "x-y.z": [[1, [2]], {"a": [{"b": 1, "c": 2}]}]},
        [],
    ],
)
def test_yaml_reads_back_as_it_was(value):
    """Also what YAML would take for something else."""
    assert yaml.safe_load(as_yaml(value)) == value


def test_the_command_prints_yaml_and_json():
    """Both forms say the same."""
    as_text, as_json = (
        CliRunner().invoke(cli, ["asyncapi", *options]).output for options in ([], ["--json"])
    )
    assert yaml.safe_load(as_text) == json.loads(as_json)


async def test_asyncapi_s_own_parser_takes_it_and_no_broken_one(document):
    """Without an error or a warning; and it does say what is wrong with a broken one."""
    wrong_channel, wrong_binding, wrong_schema = (copy.deepcopy(document) for _ in range(3))
    operation = wrong_channel["operations"]["engine.receive.order.created"]
    operation["channel"]["$ref"] = "#/channels/gone"
    wrong_binding["channels"]["order.created"]["bindings"]["kafka"]["partitions"] = "four"
    wrong_schema["components"]["schemas"]["OrderCreated"]["type"] = "objekt"
    broken = [json.dumps(wrong) for wrong in (wrong_channel, wrong_binding, wrong_schema)]
    texts = json.dumps([as_yaml(document), *broken])
    ours, *others = await foreign_scripts()("asyncapi.mjs", stdin=texts)
    assert ours == {
        "problems": [],
        "channels": len(document["channels"]),
        "operations": len(document["operations"]),
    }
    assert all(other["problems"] for other in others)
