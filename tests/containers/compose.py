"""The system of ``compose.yaml``, started with whichever Compose is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from tests.containers.pod import Pod, ask, run
from trunkline.broker import find_free_port

ROOT = Path(__file__).resolve().parents[2]
POSTGRES_IMAGE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["postgres"][
    "image"
]
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
#: Published ports that compose.yaml lets one choose; the tests take free ones.
_PORTS = (
    *("KAFKA_1_PORT", "KAFKA_2_PORT", "KAFKA_3_PORT", "AUTH_SERVICE_PORT", "ORDER_SERVICE_PORT"),
    *("WEB_SERVICE_PORT", "MOBILE_SERVICE_PORT", "DLQ_PORT", "CONSOLE_PORT"),
)
_PSQL = ("psql", "-U", "trunkline", "-AtqF", "\t", "-v", "ON_ERROR_STOP=1", "-c")
#: A process's own, and the next run's again, which removes what a killed one left behind.
_PROJECT = f"trunkline-test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def compose_command() -> list[str] | None:
    """Return how Compose is called here: ``docker compose`` (v2) or ``docker-compose``; or None."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


class _Compose(DockerCompose):
    @cached_property
    def compose_command_property(self) -> list[str]:
        command = compose_command()
        assert command is not None
        options = DockerCompose.compose_command_property.func(self)
        return [*command, *options[2:]]


class System:
    """What ``docker compose up`` started."""

    def __init__(self, folder: Path) -> None:
        self._client = docker.from_env()
        ports = {name: find_free_port() for name in _PORTS}
        settings = {**ports, "COMPOSE_PROJECT_NAME": _PROJECT, "NOTIFICATION_SERVICE_PORTS": "0"}
        chosen = folder / "compose.env"
        chosen.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        files = ["compose.yaml", "tests/containers/compose.override.yaml"]
        # v1 knows no --wait: whoever needs a pod waits until it is ready.
        self._compose = _Compose(ROOT, files, wait=False, env_file=str(chosen))

    def __enter__(self) -> System:
        """Remove what a run that was killed left behind, and start anew."""
        self._compose.stop()
        try:
            self._compose.start()
        except BaseException:
            self.print_logs()
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._compose.stop()
        self._client.close()

    def containers(self, service: str) -> list[Container]:
        """Return the containers of a service, in the order of their numbers."""
        labels = [
            f"com.docker.compose.project={_PROJECT}",
            f"com.docker.compose.service={service}",
        ]
        found = self._client.containers.list(all=True, filters={"label": labels})
        return sorted(found, key=lambda c: int(c.labels["com.docker.compose.container-number"]))

    def pods(self, service: str) -> list[Pod]:
        """Return the pods of a service."""
        return [Pod(container) for container in self.containers(service)]

    def pod(self, service: str) -> Pod:
        """Return the pod of a service that has one."""
        (pod,) = self.pods(service)
        return pod

    def sql(self, query: str) -> list[list[str]]:
        """Return a query's rows in PostgreSQL."""
        (postgres,) = self.containers("postgres")
        return [line.split("\t") for line in ask(postgres, *_PSQL, query).splitlines()]

    def execute(self, statement: str) -> None:
        """Run a statement in PostgreSQL that returns nothing."""
        (postgres,) = self.containers("postgres")
        run(postgres, *_PSQL, statement)

    def trunkline(self, *arguments: str) -> Any:
        """Run a command of ``trunkline`` in the dlq pod; return the JSON that it prints."""
        return json.loads(self.pod("dlq").ask("trunkline", *arguments, "--json"))

    def print_logs(self) -> None:
        """Print the last lines of every container."""
        everything = {"label": f"com.docker.compose.project={_PROJECT}"}
        for container in self._client.containers.list(all=True, filters=everything):
            said = container.logs(tail=12).decode(errors="replace")
            print(f"--- {container.name} ({container.status})\n{said}")
