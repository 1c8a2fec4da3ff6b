"""Wait for the broker before anything is started that needs it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, ConfigurationError, RefusedError, TrunklineError
from trunkline.settings import Settings
from trunkline.topics.connecting import no_answer, quiet_aiokafka

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
#: A broker that starts may not know its users yet: only who refuses us again and again means it.
_REFUSALS = 2


class BrokerGate(Service):
    """A service whose start ends when the broker answers and has what this worker needs.

    The web server is up before it, so that ``/health/ready`` can say that the worker waits.

    Attributes:
        open: Whether the broker has answered and the checks have passed.

    """

    mundane_level = "debug"

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._connection = settings.connection
        self.checks: list[Callable[[], Awaitable[None]]] = []
        self.open = False
        super().__init__(**options)

    async def on_start(self) -> None:
        """Wait for the broker, then run the checks; a check that fails ends the process."""
        while not self.open:
            await self._wait_for_broker()
            if self._is_stopping():
                return
            try:
                for check in self.checks:
                    await check()
            except RefusedError as error:
                abort(error)
            except BrokerError as error:
                logger.warning("Kafka went away again: %s", error)
            except TrunklineError as error:
                abort(error)
            else:
                self.open = True

    async def _wait_for_broker(self) -> None:
        told, refused = False, 0
        while not self._is_stopping():
            try:
                await answers(self._connection)
            except KafkaError:
                reason = await no_answer(self._connection)
                refused = refused + 1 if isinstance(reason, RefusedError) else 0
                if refused > _REFUSALS:
                    abort(reason)
                if not told:
                    logger.warning("Waiting for Kafka: %s", reason)
                    told = True
                await asyncio.sleep(_RETRY_S)
            else:
                if told:
                    logger.info("Kafka at %s answers", self._connection)
                return

    def _is_stopping(self) -> bool:
        root = self.beacon.root
        return self.should_stop or (root is not None and root.data.should_stop)


async def answers(connection: KafkaConnection) -> None:
    """Return when a broker answers.

    Raises:
        KafkaError: None does.

    """
    client = AIOKafkaClient(**connection.options())
    try:
        with quiet_aiokafka():
            await client.bootstrap()
    finally:
        await client.close()


def require_free_port(host: str, port: int) -> None:
    """Return when this process may listen there.

    Raises:
        ConfigurationError: It may not; another process listens, or the address is not ours.

    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot serve at {host}:{port}: {error.strerror or error}. Stop what listens there, "
            "or set TRUNKLINE_WEB_PORT (or TRUNKLINE_WEB_HOST)."
        ) from None


def abort(error: TrunklineError) -> NoReturn:
    """End this process with a clear message and the error's exit code, before it did anything."""
    sys.stderr.write(f"Error: {error}\n")
    sys.stderr.flush()
    os._exit(error.exit_code)
