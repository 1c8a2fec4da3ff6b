"""Which processes there are: the Procfile's services, each with its pods, ports and folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from honcho.environ import parse_procfile

from trunkline.broker.ports import HOST
from trunkline.errors import ConfigurationError
from trunkline.topology import Topology


@dataclass(frozen=True)
class Pod:
    """One process to run: a pod of a service, or the demo traffic."""

    name: str
    service: str
    command: str
    port: int
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where the pod serves."""
        return f"http://{HOST}:{self.port}"


def pods_of(
    procfile: Path, topology: Topology, servers: str, data_dir: Path, first_port: int
) -> list[Pod]:
    """Return the pods to run, as many of each service as the topology says.

    Raises:
        ConfigurationError: The Procfile is missing, or names a service that is not declared.

    """
    if not procfile.is_file():
        raise ConfigurationError(f"{procfile} is missing: run this from the project's root.")
    pods: list[Pod] = []
    for name, command in parse_procfile(procfile.read_text()).processes.items():
        for number in range(1, topology.service(name).pods + 1):
            port = first_port + len(pods)
            pod = f"{name}.{number}"
            environment = _environment(pod, port, servers, data_dir)
            pods.append(Pod(pod, name, command, port, environment))
    return pods


def _environment(pod: str, port: int, servers: str, data_dir: Path) -> dict[str, str]:
    return {
        # Pods keep their names here, so one that is killed and started again is back at once (seed,
        # section 4); without it the group waits for the session timeout.
        "TRUNKLINE_STATIC_MEMBERSHIP": "true",
        **os.environ,
        # The Procfile says `faust`: that of the environment that runs this.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "TRUNKLINE_POD": pod,
        "TRUNKLINE_WEB_PORT": str(port),
        "TRUNKLINE_DATA_DIR": str(data_dir),
        "PYTHONUNBUFFERED": "1",
    }
