"""A service of the project's own image, as strictly confined as a cluster may run it."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

IMAGE = "trunkline:dev"
_WEB_PORT = 6066


class ServiceContainer(DockerContainer):
    """One pod of a service: read-only root, no capabilities, not root, nothing but ``/data``."""

    def __init__(self, service: str, network: Network, **env: str) -> None:
        super().__init__(
            IMAGE,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        self.with_network(network).with_tmpfs_mount("/tmp")
        self.with_envs(TRUNKLINE_SERVICE=service, **env)
        self.ports[str(_WEB_PORT)] = ("127.0.0.1",)  # loopback, a free port

    def get(self, path: str) -> Any:
        """Return the JSON that the service answers with."""
        return self._ask(Request(self._url(path)))

    def post(self, path: str, body: object) -> int:
        """Post JSON; return the status."""
        request = Request(
            self._url(path), json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=30) as response:
            return response.status

    def is_ready(self) -> bool:
        """Return whether the service says that it does its work."""
        try:
            return self.get("/health/ready")["ready"]
        except OSError:  # not listening yet, or 503
            return False

    def terminate(self, timeout_s: int = 20) -> int:
        """Send SIGTERM; return the exit code, 137 when it had to be killed after ``timeout_s``."""
        container = self.get_wrapped_container()
        container.stop(timeout=timeout_s)
        return container.wait()["StatusCode"]

    def health(self) -> str:
        """Return what the image's own HEALTHCHECK says: starting, healthy or unhealthy."""
        container = self.get_wrapped_container()
        container.reload()
        return container.attrs["State"]["Health"]["Status"]

    def print_logs(self) -> None:
        """Print the last lines that the service wrote."""
        logs = self.get_wrapped_container().logs(tail=40).decode(errors="replace")
        print(f"--- {self.env['TRUNKLINE_SERVICE']} {self.env.get('TRUNKLINE_POD', '')}\n{logs}")

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.get_exposed_port(_WEB_PORT)}{path}"

    @staticmethod
    def _ask(request: Request) -> Any:
        with urlopen(request, timeout=10) as response:
            return json.load(response)


def run_once(network: Network, command: list[str], **env: str) -> str:
    """Run one command in a container of the project's image, and return what it printed.

    Raises:
        docker.errors.ContainerError: It ended with another exit code than 0.

    """
    client = docker.from_env()
    try:
        printed: bytes = client.containers.run(
            IMAGE,
            command,
            environment=env,
            network=network.name,
            tmpfs={"/data": ""},  # or its volume would stay behind
            remove=True,
            stderr=True,
        )
    finally:
        client.close()
    return printed.decode()
