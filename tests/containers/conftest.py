"""The engine, the network and the Kafka that the container tests run on.

Without a Docker engine they are skipped with the reason; in CI (``CI=true``) that is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Read when testcontainers is imported. Its reaper is an image of its own, which cannot be had
# without a registry: these fixtures end what they start. And ports are published on loopback.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

from testcontainers.core.network import Network

from tests.containers.kafka import IMAGE as KAFKA_IMAGE
from tests.containers.kafka import ApacheKafka
from tests.containers.needs import engine_error, need_image
from tests.support.missing import unavailable


@pytest.fixture(scope="session")
def engine() -> None:
    """Need a Docker engine that answers."""
    why = engine_error()
    if why:
        unavailable(
            f"No Docker engine answers ({why}). Install and start one (Debian: "
            "apt-get install docker.io, then dockerd), run scripts/images, and try again."
        )


@pytest.fixture
def network(engine: None) -> Iterator[Network]:
    """Give a network of its own, in which containers find each other by name."""
    with Network() as network:
        yield network


@pytest.fixture
def kafka_container(network: Network) -> Iterator[ApacheKafka]:
    """Give one broker in a container, ``kafka:9092`` inside the network."""
    need_image(KAFKA_IMAGE)
    with ApacheKafka(network) as kafka:
        yield kafka
