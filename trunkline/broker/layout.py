"""What lies where in the embedded broker's folder.

::

    data/node-0/            Kafka's log.dirs; what is here decides how many nodes there are
    conf/node-0.properties  written anew at every start
    logs/node-0.log         Kafka's log; node-0.out is what the Java runtime itself printed
    secure/                 passwords and certificates of a secure broker (security.py)
    state.json              which processes run, and where they listen
    lock                    held while a start or stop is under way
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import BrokerError

_LOCK_WAIT_S = 120.0


@dataclass(frozen=True)
class Layout:
    """The paths in one broker folder, which is absolute."""

    directory: Path

    @property
    def data(self) -> Path:
        """Folder of all nodes' records."""
        return self.directory / "data"

    @property
    def unfinished_data(self) -> Path:
        """Where data is formatted before it gets its name, so that half of it never counts."""
        return self.directory / "data.unfinished"

    @property
    def conf(self) -> Path:
        """Folder of the configuration."""
        return self.directory / "conf"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.directory / "logs"

    @property
    def state(self) -> Path:
        """File that tells what runs."""
        return self.directory / "state.json"

    @property
    def security(self) -> Path:
        """Folder of passwords and certificates; a broker without it takes anyone."""
        return self.directory / "secure"

    def node_data(self, node: int) -> Path:
        """Return a node's folder of records."""
        return self.data / f"node-{node}"

    def is_closed(self, node: int) -> bool:
        """Tell whether a node has written all its records and ended cleanly, or is about to."""
        return (self.node_data(node) / ".kafka_cleanshutdown").exists()

    def properties(self, node: int) -> Path:
        """Return a node's ``server.properties``; its path on a command line marks our process."""
        return self.conf / f"node-{node}.properties"

    def log4j(self, node: int) -> Path:
        """Return a node's logging configuration."""
        return self.conf / f"node-{node}.log4j2.properties"

    def log(self, node: int) -> Path:
        """Return a node's log."""
        return self.logs / f"node-{node}.log"

    def output(self, node: int) -> Path:
        """Return what a node's Java runtime printed by itself: usually nothing."""
        return self.logs / f"node-{node}.out"

    def make(self) -> None:
        """Make the folders.

        Raises:
            BrokerError: The folder cannot be written.

        """
        try:
            for folder in (self.directory, self.conf, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokerError(
                f"Cannot write the embedded Kafka's folder {self.directory}: {error}. "
                "Choose another with --dir or TRUNKLINE_BROKER_DIR."
            ) from error

    def remove(self) -> None:
        """Delete what the broker wrote, and nothing else that someone put into its folder."""
        for folder in (self.data, self.unfinished_data, self.conf, self.logs, self.security):
            shutil.rmtree(folder, ignore_errors=True)
        self.state.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time start or stop this broker.

        Raises:
            BrokerError: Another one has been at it for two minutes.

        """
        self.make()
        with (self.directory / "lock").open("w") as file:
            give_up_at = time.monotonic() + _LOCK_WAIT_S
            while not _try_lock(file.fileno()):
                if time.monotonic() > give_up_at:
                    raise BrokerError(
                        f"Another process has been starting or stopping the broker in "
                        f"{self.directory} for {_LOCK_WAIT_S:.0f} s. Wait for it or end it."
                    )
                time.sleep(0.05)
            yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
