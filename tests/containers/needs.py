"""What the container tests need: without it they are skipped with the reason; CI fails instead."""

from __future__ import annotations

import gc
import warnings

import docker
from docker.errors import DockerException, ImageNotFound

from tests.containers.compose import POSTGRES_IMAGE, compose_command
from tests.containers.kafka import IMAGE as KAFKA_IMAGE
from tests.containers.service import IMAGE as SERVICE_IMAGE
from tests.support.missing import unavailable


def need_image(name: str) -> None:
    """Need an image, which ``scripts/images`` makes or pulls."""
    client = docker.from_env()
    try:
        client.images.get(name)
    except ImageNotFound:
        unavailable(f"The image {name} is not there. Run scripts/images.")
    finally:
        client.close()


def engine_error() -> str:
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


def need_compose() -> None:
    """Need Compose, and the images that compose.yaml names."""
    if compose_command() is None:
        unavailable("Compose is missing. Debian: apt-get install docker-compose.")
    for image in (KAFKA_IMAGE, POSTGRES_IMAGE, SERVICE_IMAGE):
        need_image(image)
