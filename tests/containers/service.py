"""The project's own image by itself, as strictly confined as a cluster may run it."""

from __future__ import annotations

from testcontainers.core.container import DockerContainer

from tests.containers.pod import WEB_PORT, Pod

IMAGE = "trunkline:dev"


class ServiceContainer(DockerContainer):
    """One pod of a service: read-only root, no capabilities, not root, nothing but ``/data``."""

    def __init__(self, service: str, **env: str) -> None:
        super().__init__(
            IMAGE,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        )
        self.with_tmpfs_mount("/tmp").with_envs(TRUNKLINE_SERVICE=service, **env)
        self.ports[str(WEB_PORT)] = ("127.0.0.1",)  # loopback, a free port

    @property
    def pod(self) -> Pod:
        """What can be asked of it."""
        return Pod(self.get_wrapped_container())
