"""The ground a benchmark runs on: topics of its own, preloaded events, contestants as processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import TrunklineError

_CHUNK = 10_000
_TIMEOUT_S = 180


class Ground:
    """A topic with events, and a failures topic; both are deleted at the end."""

    def __init__(self, servers: str, partitions: int) -> None:
        self.servers = servers
        self.partitions = partitions
        self.topic = f"bench-{uuid.uuid4().hex[:8]}"
        self.failures_topic = f"{self.topic}.failures"
        self._groups = 0

    async def __aenter__(self) -> Ground:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.create_topics(
                [NewTopic(self.topic, self.partitions, 1), NewTopic(self.failures_topic, 1, 1)]
            )
        finally:
            await admin.close()
        return self

    async def __aexit__(self, *_: object) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.delete_topics([self.topic, self.failures_topic])
        finally:
            await admin.close()

    async def preload(self, count: int, keys: int | None = None) -> None:
        """Publish events of the seed's size, keyed by user, spread evenly over ``keys`` users."""
        producer = RecordProducer(self.servers.split(","), "bench.preload")
        await producer.start()
        try:
            for start in range(0, count, _CHUNK):
                numbers = range(start, min(start + _CHUNK, count))
                await producer.send_many([self._event(n % keys if keys else n) for n in numbers])
        finally:
            await producer.stop()

    def _event(self, user: int) -> OutRecord:
        value = b'{"userId":"%d","email":"user%d@example.com"}' % (user, user)
        return OutRecord(self.topic, value, key=b"%d" % user)

    def new_group(self) -> str:
        """Return a group that has committed nothing."""
        self._groups += 1
        return f"{self.topic}-{self._groups}"

    async def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run a contestant to its end, and return what it measured.

        Raises:
            TrunklineError: It failed, or did not end within three minutes.

        """
        return await asyncio.to_thread(self._run, module, arguments)

    def _run(self, module: str, arguments: Sequence[str]) -> dict[str, Any]:
        environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": self.servers}
        command = [sys.executable, "-m", module, *arguments]
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TrunklineError(f"{module} did not end within {_TIMEOUT_S} s") from None
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise TrunklineError(f"{module} measured nothing:\n{done.stderr[-2000:]}")
        measured: dict[str, Any] = json.loads(lines[-1])
        return measured


def median_row(contestant: str, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the round with the median speed as a row, with all rounds' speeds beside it."""
    ordered = sorted(rounds, key=lambda r: r["seconds"])
    middle = ordered[len(ordered) // 2]
    return {
        "contestant": contestant,
        "events_per_s": round(middle["handled"] / middle["seconds"]),
        "seconds": middle["seconds"],
        "cpu_s": middle["cpu_s"],
        "rss_mb": middle["rss_mb"],
        "rounds": [round(r["handled"] / r["seconds"]) for r in rounds],
    }
