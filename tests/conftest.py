"""The Kafka that the tests run on: one embedded broker for the whole run, stopped at its end."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.network import Network
from trunkline.broker import EmbeddedBroker

_FOLDER = "TRUNKLINE_TEST_BROKER"


def pytest_configure(config: pytest.Config) -> None:
    """Choose the shared broker's folder before any xdist worker is started: they inherit it."""
    if not hasattr(config, "workerinput"):
        # A plain SIGTERM (CI's time limit, ``timeout``) would leave the broker running.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="trunkline-test-broker-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the shared broker where the run began: after success, failure and Ctrl-C alike."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(_FOLDER))
        EmbeddedBroker(folder).stop()
        end_cluster(folder)
        EmbeddedBroker(folder / "secure" / "broker", nodes=3).stop()
        shutil.rmtree(folder, ignore_errors=True)


def end_cluster(folder: Path) -> None:
    """End the cluster of tests/cluster, and the network that was made for it."""
    known = folder / "cluster" / "port"
    if known.exists():
        port = int(known.read_text())
        EmbeddedBroker(folder / "cluster" / "broker", port, 3).stop()
        Network(port).down()


@pytest.fixture(scope="session")
def kafka() -> str:
    """Return the bootstrap servers of the Kafka under test; the first test that asks starts it."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        return given
    folder = Path(os.environ[_FOLDER])
    with (folder / "first").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        broker = EmbeddedBroker(folder, port=0)
        if not broker.status().running:
            broker.start()
    return broker.bootstrap_servers


@pytest.fixture(scope="session")
def secure_kafka() -> Any:
    """Return the three-node Kafka with TLS, users and ACLs; the first test that asks starts it."""
    # Only its tests need certificates.
    from tests.support.secure import SecureKafka, end_tls_at_once, secure_broker

    end_tls_at_once()
    folder = Path(os.environ[_FOLDER]) / "secure"
    folder.mkdir(exist_ok=True)
    with (folder / "first").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        broker = secure_broker(folder)
        if not broker.status().running:
            broker.start()
    return SecureKafka(broker, folder)


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """Return a name that no other test has, to put before topics and groups."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:30].strip("-")
    return f"{test}-{uuid.uuid4().hex[:6]}"


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Callable[..., EmbeddedBroker]]:
    """Return a function that makes a broker for this test alone, to start, kill and restart."""
    made: list[EmbeddedBroker] = []

    def make(nodes: int = 1, port: int = 0) -> EmbeddedBroker:
        made.append(EmbeddedBroker(tmp_path / f"broker-{len(made)}", port=port, nodes=nodes))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()
