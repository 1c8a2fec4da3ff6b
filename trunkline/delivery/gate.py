"""Wait for the broker before anything is started that needs it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from mode import Service

from trunkline.connection import KafkaConnection
from trunkline.errors import (
    BrokerError,
    ConfigurationError,
    RefusedError,
    TopologyError,
    TrunklineError,
)
from trunkline.settings import Settings
from trunkline.topics.connecting import no_answer, quiet_aiokafka

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
#: What another one mends: topics, rights, users.
_LOOK_AGAIN_S = 2.0
#: A broker that starts may not know its users yet: only who refuses us again and again means it.
_REFUSALS = 2


class BrokerGate(Service):
    """A service whose start ends when the broker answers and has what this worker needs.

    The web server is up before it, so that ``/health/ready`` can say that the worker waits.

    What another one may mend, topics, rights and users that are missing, is waited for as well, for
    ``TRUNKLINE_START_WAIT_S``; the broker without end.

    Attributes:
        open: Whether the broker has answered and the checks have passed.
        checks: Raise when something is missing.
        waits_for: What it waits for, in words for ``/health/ready``.

    """

    mundane_level = "debug"

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._connection = settings.connection
        self._patience_s = settings.start_wait_s
        self._give_up_at: float | None = None
        self._told = ""
        self.checks: list[Callable[[], Awaitable[None]]] = []
        self.open = False
        self.waits_for = f"waiting for Kafka at {settings.connection}"
        super().__init__(**options)

    async def on_start(self) -> None:
        """Wait for the broker, then run the checks; a check that fails for good ends us."""
        while not self.open:
            await self._wait_for_broker()
            if self._is_stopping():
                return
            try:
                for check in self.checks:
                    await check()
            except (RefusedError, TopologyError) as error:
                await self._wait_for_mend(error)
            except BrokerError as error:
                self._tell("Kafka went away again: %s", error)
                await asyncio.sleep(_RETRY_S)
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
                    await self._wait_for_mend(reason)
                    continue
                if not refused:
                    self._give_up_at = None  # an outage is nobody's mistake
                self.waits_for = f"waiting for Kafka at {self._connection}"
                if not told:
                    logger.warning("Waiting for Kafka: %s", reason)
                    told = True
                await asyncio.sleep(_RETRY_S)
            else:
                if told:
                    logger.info("Kafka at %s answers", self._connection)
                return

    async def _wait_for_mend(self, error: TrunklineError) -> None:
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + self._patience_s
        left_s = self._give_up_at - time.monotonic()
        if left_s <= 0:
            abort(error)
        self._tell(f"Waiting, for {left_s:.0f} s at most: %s", error)
        await asyncio.sleep(min(_LOOK_AGAIN_S, left_s))

    def _tell(self, text: str, error: TrunklineError) -> None:
        self.waits_for = f"waiting: {' '.join(str(error).split())}"
        if str(error) != self._told:
            logger.warning(text, error)
            self._told = str(error)

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
