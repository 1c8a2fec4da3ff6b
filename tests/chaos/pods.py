"""The pods of a run: real worker processes that are ended and started again in every way."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.groups import Group
from tests.support.worker import Worker

APP = "tests.support.pods.chaos"
PODS_PER_GROUP = 2
#: As short as the broker allows, so that takeovers happen; back-off as short, so that time is spent
#: on events.
_SETTINGS = {
    "TRUNKLINE_SESSION_TIMEOUT_S": "4",
    "TRUNKLINE_RETRY_BACKOFF": "exponential:0.05,2,0.5",
}
_ENDED_HARD = "ending hard"
_NO_BROKER = "'ConsumerThread' crashed: KafkaConnectionError(\"Unable to bootstrap"


class Pod:
    """One pod.

    Attributes:
        group: Plain name of its group.
        name: Of the pod and its journal.
        busy: Somebody is ending and starting it right now.
        deaths: How it ended without being told to: return code and the end of its log.
        fell_at_start: How often it ended because the broker died while it started.

    """

    def __init__(
        self, folder: Path, servers: str, namespace: str, group: Group, *, number: int, seed: int
    ) -> None:
        self.group = group.name
        self.name = f"{group.name}-{number}"
        self.busy = False
        self.deaths: list[str] = []
        self.fell_at_start = 0
        self._disk = folder / "data" / self.name
        self._worker = Worker(
            folder,
            servers,
            namespace,
            app=APP,
            name=self.name,
            **_SETTINGS,
            CHAOS_GROUP=group.name,
            CHAOS_SEED=seed,
            CHAOS_JOURNAL=folder / f"{self.name}.journal",
        )

    def start(self) -> None:
        """Start the process; returns at once."""
        self._worker.start()

    async def wait_ready(self) -> None:
        """Wait until the group has given it its partitions."""
        await self._worker.wait_ready()

    async def stats(self) -> Mapping[str, object]:
        """Return its ``/stats``."""
        return await self._worker.stats()

    def kill(self) -> None:
        """``kill -9``."""
        self._worker.kill()

    async def terminate(self, *, kafka_is_well: bool = False) -> None:
        """SIGTERM, and wait for the end; one that is not as documented is a death of its own.

        Args:
            kafka_is_well: The pod must then end well. Else it may also end hard when its time is up
                (``TRUNKLINE_SHUTDOWN_TIMEOUT_S``; by the alarm when its threads are gone already),
                or while it is still being loaded.

        """
        try:
            code, _ = await self._worker.terminate(20)
        except AssertionError:
            self.deaths.append(f"{self.name} did not end 20 s after SIGTERM\n{self._worker.tail()}")
            self.kill()
            return
        hard = code == 1 and _ENDED_HARD in self._worker.tail(20)
        excused = hard or code in {-signal.SIGTERM, -signal.SIGALRM}
        if code and (kafka_is_well or not excused):
            self.deaths.append(f"{self.name} ended with {code} on SIGTERM\n{self._worker.tail()}")

    def lose_disk(self) -> None:
        """Take away all that it had on its disk; it must not run."""
        shutil.rmtree(self._disk, ignore_errors=True)

    def freeze(self) -> None:
        """Stop the process without ending it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def show_tasks(self) -> None:
        """Let it write what all of its threads and tasks wait for into its log, if it can yet."""
        process = self._worker.process
        if process is not None and _catches(process.pid, signal.SIGUSR1):
            self._signal(signal.SIGUSR1)

    def look(self) -> None:
        """Start it again when it ended without being told to, and note that it did."""
        code = self._worker.returncode
        if self.busy or code is None:
            return
        if code == 1 and _NO_BROKER in self._worker.tail(300):
            self.fell_at_start += 1
        else:
            self.deaths.append(f"{self.name} ended by itself ({code})\n{self._worker.tail()}")
        self.start()

    def _signal(self, number: int) -> None:
        if self._worker.process is not None and self._worker.returncode is None:
            self._worker.process.send_signal(number)


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal; without one it would end by it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
