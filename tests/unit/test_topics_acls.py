"""The rights that each service needs, derived from the topology."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise

import pytest
from click.testing import CliRunner

from trunkline.cli import cli
from trunkline.errors import ConfigurationError
from trunkline.topics.acls import Acl, all_rights, rights_of
from trunkline.topology import Topology

SHOP = Topology("shop")


def rights(who, topology=SHOP):
    """Return operations by resource and name, without those that only describe."""
    return {
        (acl.resource, acl.name + "*" * acl.prefixed): {
            one for one in acl.operations if not one.startswith("Describe")
        }
        for acl in rights_of(topology, who).acls
    }


def test_a_publisher_writes_its_topics_and_nothing_else():
    """Its events, and the report of its pods; lists of events need a transactional id."""
    assert rights("order-service") == {
        ("topic", "shop.order.created"): {"Write"},
        ("topic", "shop.trunkline.workers"): {"Write"},
        ("transactional-id", "shop.order-service.publisher.*"): {"Write"},
    }


def test_a_consumer_reads_its_topics_and_keeps_what_failed():
    """It may neither write what it reads nor read dead letters."""
    assert rights("db-server") == {
        ("topic", "shop.auth.registered"): {"Read"},
        ("topic", "shop.trunkline.control"): {"Read"},
        ("topic", "shop.trunkline.workers"): {"Write"},
        ("topic", "shop.db-server-group.failures"): {"Read", "Write"},
        ("topic", "shop.db-server-group-retries-changelog"): {"Read", "Write"},
        ("topic", "shop.db-server-group.held-keys"): {"Read", "Write"},
        ("topic", "shop.dlq.auth.registered"): {"Write"},
        ("group", "shop.db-server-group"): {"Read"},
        ("transactional-id", "shop.db-server-group.*"): {"Write"},
    }


def test_special_services_get_what_is_special_of_them():
    """A table's changelog, a relay with its receivers, the index of dead letters."""
    changelog = ("topic", "shop.activity-group-activity-counts-changelog")
    assert rights("activity-processor")[changelog] == {"Read", "Write"}
    notifications = rights("notification-service")
    assert notifications["topic", "shop.notification.fanout"] == {"Read", "Write"}
    assert notifications["group", "shop.notification-group-*"] == {"Read"}
    dlq = rights("dlq")
    assert dlq["topic", "shop.dlq.order.created"] == {"Read"}
    assert dlq["topic", "shop.dlq-consumer-group.actions"] == {"Read"}


def test_an_operator_reads_all_and_writes_orders_only():
    """No event can be forged, and no group's offsets moved; the console may do the same."""
    operator = rights("operator")
    written = {name for (resource, name), allowed in operator.items() if "Write" in allowed}

    assert {("topic", topic.name) for topic in SHOP.topics()} <= set(operator)
    assert all(
        name.endswith((".failures", ".actions", ".redrive", "workers", "control", "audit"))
        for name in written
    )
    assert operator["group", "shop.engine-group"] == set()
    assert rights("console") == operator


def test_who_scales_by_lag_may_read_no_event():
    """Ends and committed offsets of what groups read; described, and nothing more."""
    reader = rights("lag-reader")

    assert set(reader) >= {("topic", "shop.order.created"), ("group", "shop.engine-group")}
    assert not any(reader.values())
    assert {acl.operations for acl in rights_of(SHOP, "lag-reader").acls} == {("Describe",)}


def test_every_topic_that_a_service_needs_is_covered():
    """What the topology says a service cannot work without is what it has rights on."""
    for service in SHOP.services:
        covered = {acl.name for acl in rights_of(SHOP, service.name).acls}
        needed = {topic.name for topic in SHOP.topics_of(service.name)}
        assert needed <= covered, service.name


def test_nobody_but_the_administrator_makes_topics():
    """Nor does anybody get a right on the cluster."""
    for each in all_rights(SHOP):
        operations = {one for acl in each.acls for one in acl.operations}
        assert ("Create" in operations) == (each.who == "topics-admin")
        assert not any(acl.resource == "cluster" for acl in each.acls)


def test_an_unknown_service_is_named():
    """With the services, and the roles."""
    with pytest.raises(ConfigurationError, match=r"Did you mean 'engine'.*operator"):
        rights_of(SHOP, "engin")


@pytest.fixture
def print_acls(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_NAMESPACE", "shop")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")

    def run(*args):
        result = CliRunner().invoke(cli, ["topics", "acls", *args])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_table_names_principal_resource_and_operations(print_acls):
    """A row for each; a prefix ends with a star."""
    shown = print_acls("-s", "engine", "--principal", "User:CN={service}")

    assert "User:CN=engine" in shown
    assert "shop.engine-group.*" in shown


def test_json_and_commands_say_the_same(print_acls):
    """All that the commands grant is what the document lists."""
    documented = {
        Acl(acl["resource"], acl["name"], tuple(acl["operations"]), acl["pattern"] == "prefixed")
        for acl in json.loads(print_acls("-s", "engine", "--json"))[0]["acls"]
    }
    granted = set()
    for line in print_acls("-s", "engine", "--commands").splitlines()[1:]:
        words = shlex.split(line)
        pairs = list(pairwise(words))
        assert ("--allow-principal", "User:engine") in pairs
        operations = tuple(value for option, value in pairs if option == "--operation")
        granted |= {
            Acl(option[2:], value, operations, "prefixed" in words)
            for option, value in pairs
            if option in {"--topic", "--group", "--transactional-id"}
        }

    assert granted == documented == set(rights_of(SHOP, "engine").acls)
