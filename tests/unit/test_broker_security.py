"""The secure embedded broker: what it is configured with, and who may read its secrets."""

from __future__ import annotations

import stat

import pytest

from trunkline.broker import EmbeddedBroker, SecurityOptions
from trunkline.broker.config import server_properties
from trunkline.broker.layout import Layout
from trunkline.broker.ports import all_ports
from trunkline.broker.security import make_security, read_security
from trunkline.errors import ConfigurationError


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    made = Layout(tmp_path_factory.mktemp("broker"))
    make_security(made, SecurityOptions(("engine", "dlq"), properties={"num.io.threads": "3"}))
    return made


def test_every_listener_of_a_secure_broker_is_encrypted(layout):
    """And nobody may do what no ACL allows."""
    properties = server_properties(layout, 1, 3, 19092)

    listeners = [listener.partition("://") for listener in properties["listeners"].split(",")]
    assert {name for name, _, _ in listeners} == {"SASL_SSL", "SSL", "CONTROLLER"}
    assert "PLAINTEXT" not in properties["listener.security.protocol.map"]
    assert {int(at.rpartition(":")[2]) for _, _, at in listeners} <= set(
        all_ports(19092, 3, secure=True)
    )
    assert properties["authorizer.class.name"].endswith("StandardAuthorizer")
    assert properties["super.users"] == "User:CN=trunkline-broker;User:admin"
    assert properties["num.io.threads"] == "3"


def test_what_was_made_is_read_again(layout):
    """Another process controls the same broker."""
    security = read_security(layout)

    assert set(security.passwords) == {"admin", "engine", "dlq"}
    assert len(set(security.passwords.values())) == 3
    assert security.environment("engine")["KAFKA_SASL_PASSWORD"] == security.passwords["engine"]


def test_secrets_are_for_their_owner_alone(layout):
    """The folder is closed to others, and each file with a secret is."""
    assert stat.S_IMODE(layout.security.stat().st_mode) == 0o700
    for name in ("security.json", "admin.env", "engine.env"):
        assert stat.S_IMODE((layout.security / name).stat().st_mode) == 0o600


def test_no_password_on_a_command_line_or_in_a_representation(layout):
    """Others on the machine see command lines."""
    security = read_security(layout)
    shown = " ".join(security.format_arguments()) + repr(security)

    assert not [p for p in security.passwords.values() if p in shown]
    assert security.keystore_password not in shown


def test_data_without_security_does_not_become_secure(tmp_path):
    """Whoever asks for it must know that the records are given up."""
    broker = EmbeddedBroker(tmp_path, port=0, secure=SecurityOptions())
    data = tmp_path / "data" / "node-0"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("cluster.id=x\n")

    with pytest.raises(ConfigurationError, match=r"without security: delete it with --reset"):
        broker.start()
