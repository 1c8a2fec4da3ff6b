"""compose.yaml: complete for the topology, on loopback only, and as strict as it says."""

from __future__ import annotations

from typing import Any

from tests.manifests.manifests import compose, known_settings, settings_named_in
from trunkline.broker.jars import KAFKA_VERSION
from trunkline.settings import Settings
from trunkline.topology import MIN_INSYNC_REPLICAS, REPLICATION_FACTOR, SERVICES

BROKERS = {f"kafka-{n}" for n in range(1, REPLICATION_FACTOR + 1)}


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def workers() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if is_worker(service)}


def is_worker(service: dict[str, Any]) -> bool:
    return "TRUNKLINE_SERVICE" in service.get("environment", {})


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def test_every_service_of_the_topology_is_there_with_its_pods() -> None:
    """Under its own name, as often as scripts/up starts it."""
    declared = {service.name: service.pods for service in SERVICES}

    assert {name: service.get("scale", 1) for name, service in workers().items()} == declared
    for name, service in workers().items():
        assert service["environment"]["TRUNKLINE_SERVICE"] == name
    assert set(services()) == {*declared, *BROKERS, "postgres", "topics"}


def test_every_setting_that_is_given_exists() -> None:
    """A misspelt variable would be passed over without a word."""
    for service in [*workers().values(), services()["topics"]]:
        named = set(service["environment"])
        assert settings_named_in(named) == named
        assert named <= known_settings()


def test_kafka_is_the_version_that_is_tested_with_three_copies() -> None:
    """Three brokers that are controllers too, and internal topics as safe as ours."""
    for name in BROKERS:
        broker = services()[name]
        settings = broker["environment"]
        assert broker["image"] == f"apache/kafka:{KAFKA_VERSION}"
        for internal in ("OFFSETS_TOPIC", "TRANSACTION_STATE_LOG"):
            assert settings[f"KAFKA_{internal}_REPLICATION_FACTOR"] == REPLICATION_FACTOR
        assert settings["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == MIN_INSYNC_REPLICAS
        assert "/var/lib/kafka/data" in broker["volumes"][0]


def test_workers_are_confined_and_have_time_to_end() -> None:
    """Read-only root, no capability, longer to stop than the drain takes."""
    for service in workers().values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert seconds(service["stop_grace_period"]) >= Settings().shutdown_timeout_s + 10
        topics = service["depends_on"]["topics"]
        assert topics == {"condition": "service_completed_successfully"}


def test_ports_are_published_on_loopback_only() -> None:
    """Each once, and none of the database."""
    published = [port for service in services().values() for port in service.get("ports", ())]

    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(set(published)) == len(published)
    assert "ports" not in services()["postgres"]


def test_only_names_of_this_machine_and_of_its_services_are_answered() -> None:
    """Who publishes from another container asks for a service; no other page's name is one."""
    reached = {name for name, service in workers().items() if "ports" in service}
    for service in workers().values():
        default = service["environment"]["TRUNKLINE_WEB_HOSTS"].split(":-")[1].rstrip("}")
        assert set(default.split(",")) == {"localhost", *reached}
