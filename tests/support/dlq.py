"""``trunkline dlq`` as its user runs it, in a test's namespace, on dead letters of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.committed import read_committed
from tests.support.dead_letters import Record, put_letters, trunkline_headers
from trunkline import topics
from trunkline.connection import KafkaConnection
from trunkline.topology import Topology

_CODE = "from trunkline.cli import main; main()"


@dataclass
class Dlq:
    """The command line, and what stands in Kafka before and after it."""

    kafka: str
    namespace: str

    @property
    def topology(self) -> Topology:
        return Topology(self.namespace)

    @property
    def _environment(self) -> dict[str, str]:
        own = {"KAFKA_BOOTSTRAP_SERVERS": self.kafka, "TRUNKLINE_NAMESPACE": self.namespace}
        return {**os.environ, **own}

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Begin a command, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-c", _CODE, "dlq", *args],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-c", _CODE, "dlq", *args],
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    async def prepare(self) -> None:
        """Make the topics."""
        await topics.apply(KafkaConnection.plaintext(self.kafka), self.topology)

    def letters(self, count: int, first: int = 0, **changes: object) -> list[Record]:
        """Return so many of our dead letters of order.created: four keys in two partitions."""
        return [self.letter(number, **changes) for number in range(first, first + count)]

    def letter(self, number: int, **changes: object) -> Record:
        """Return one; its value is its number."""
        headers = trunkline_headers(
            **{
                "group": f"{self.namespace}.engine-group",
                "topic": f"{self.namespace}.order.created",
                "place": (number % 2, number, 1_700_000_000_000 + number),
                **changes,
            }
        )
        return Record(
            topic=f"{self.namespace}.dlq.order.created",
            partition=number % 2,
            timestamp=1_700_000_000_000 + number,
            key=f"user-{number % 4}".encode(),
            value=str(number).encode(),
            headers=[("tenant", b"acme" if number % 3 else b"other"), *headers],
        )

    async def put(self, records: Sequence[Record]) -> None:
        """Write dead letters."""
        await put_letters(self.kafka, records)

    async def redriven(self, group: str = "engine-group"):
        """Return the committed records of a group's failures topic."""
        topic = self.topology.failures_topic(group)
        return await read_committed(self.kafka, topic.name, topic.partitions)

    async def actions(self):
        """Return the committed records of the actions topic."""
        topic = self.topology.dead_letter_actions_topic()
        return await read_committed(self.kafka, topic.name, topic.partitions)
