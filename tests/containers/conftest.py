"""The engine, the network and the Kafka that the container tests run on.

Without a Docker engine they are skipped with the reason; in CI (``CI=true``) that is a failure.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

# Read when testcontainers is imported. Its reaper is an image of its own, which cannot be had
# without a registry: these fixtures end what they start. And ports are published on loopback.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

import docker
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.network import Network

from tests.containers.kafka import IMAGE as KAFKA_IMAGE
from tests.containers.kafka import ApacheKafka
from tests.containers.service import IMAGE as SERVICE_IMAGE
from tests.containers.service import ServiceContainer, run_once


def _unavailable(reason: str) -> None:
    """Skip the test that needs what is not there; fail it in CI, where nothing may be skipped."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason} CI must run this test.", pytrace=False)
    pytest.skip(reason)


def _need_image(name: str, how: str) -> None:
    client = docker.from_env()
    try:
        client.images.get(name)
    except ImageNotFound:
        _unavailable(f"The image {name} is not there. {how}")
    finally:
        client.close()


def _engine_error() -> str:
    """Return why no Docker engine answers; nothing when one does."""
    with warnings.catch_warnings():
        # docker-py leaves its socket open when it cannot connect.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=10)
        except DockerException as error:
            why = str(error)
        else:
            client.close()
            return ""
        gc.collect()
        return why


@pytest.fixture(scope="session")
def engine() -> None:
    """Need a Docker engine that answers."""
    why = _engine_error()
    if why:
        _unavailable(
            f"No Docker engine answers ({why}). Install and start one (Debian: "
            "apt-get install docker.io, then dockerd), run scripts/images, and try again."
        )


@pytest.fixture(scope="session")
def network(engine: None) -> Iterator[Network]:
    """Give a network of its own, in which containers find each other by name."""
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def kafka_container(network: Network) -> Iterator[ApacheKafka]:
    """Give one broker in a container, ``kafka:9092`` inside the network."""
    _need_image(KAFKA_IMAGE, f"Run scripts/images, or docker pull {KAFKA_IMAGE}.")
    with ApacheKafka(network) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def topics(network: Network, kafka_container: ApacheKafka) -> None:
    """Make the topics as an operator would: with the command line that is in the image."""
    _need_image(SERVICE_IMAGE, "Run scripts/images, which builds it.")
    run_once(
        network,
        ["trunkline", "topics", "apply"],
        KAFKA_BOOTSTRAP_SERVERS=kafka_container.inside,
    )


@pytest.fixture
def service(network: Network, topics: None) -> Iterator[Callable[..., ServiceContainer]]:
    """Return a function that starts a pod of a service by the service's name."""
    with ExitStack() as started:

        def start(name: str, **env: str) -> ServiceContainer:
            env["KAFKA_BOOTSTRAP_SERVERS"] = ApacheKafka.inside
            pod = started.enter_context(ServiceContainer(name, network, **env))
            # SIGTERM, so that its group does not wait for it in the next test.
            started.callback(pod.terminate)
            started.callback(pod.print_logs)  # pytest shows them when the test failed
            return pod

        yield start
