"""Play patterns one after the other, each on a stage of its own."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import aiohttp
from aiokafka.errors import KafkaError

from trunkline.connection import KafkaConnection
from trunkline.errors import TrunklineError
from trunkline.verifying.outcome import Outcome, Pattern
from trunkline.verifying.stage import Stage

Say = Callable[[str], None]

#: What a pattern is expected to do when it cannot count at all.
TO_ITS_END = "it runs to its end"
_FAILURES = (TrunklineError, KafkaError, aiohttp.ClientError, sqlite3.Error, OSError, TimeoutError)


async def run_patterns(
    patterns: Sequence[Pattern],
    connection: KafkaConnection,
    directory: Path,
    say: Say,
    *,
    keep: bool = False,
) -> AsyncIterator[Outcome]:
    """Play patterns, and yield what came of each.

    Args:
        patterns: In their order.
        connection: How to reach Kafka.
        directory: Folder for logs and data, a folder per pattern in it.
        say: Takes lines about the progress.
        keep: Whether the topics stay.

    """
    run = f"verify-{uuid.uuid4().hex[:6]}"
    for number, pattern in enumerate(patterns, start=1):
        say(f"[{number}/{len(patterns)}] {pattern.name}: {pattern.promise} …")
        began = time.monotonic()
        stage = Stage(
            connection,
            f"{run}.{pattern.name}",
            directory / pattern.name,
            pattern.services,
            keep=keep,
        )
        outcome = await play(pattern, stage)
        took_s = time.monotonic() - began
        say(f"      {'as expected' if outcome.ok else 'DIFFERENT'}, {took_s:.1f} s")
        yield outcome


async def play(pattern: Pattern, stage: Stage) -> Outcome:
    """Play one pattern; one that cannot be counted to its end differs by that."""
    try:
        async with stage:
            expected, counted = await pattern.play(stage)
    except _FAILURES as error:
        return Outcome(pattern.name, TO_ITS_END, str(error) or repr(error))
    return Outcome(pattern.name, expected, counted)
