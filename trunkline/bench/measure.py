"""One measured run of a contestant that reads: from its start to its counts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.bench.contestant import Contestant
from trunkline.bench.ground import Ground
from trunkline.bench.ours import environment_of
from trunkline.bench.rounds import Result

_TIMEOUT_S = 120.0
_FIGURES = ("p50_ms", "p99_ms", "p999_ms", "max_ms")


@dataclass(frozen=True)
class Reader:
    """A contestant that reads events.

    Attributes:
        name: What it is called.
        command: Its process; the job follows as JSON.
        kind: Which way of reading, of those that the process knows.
        ours: Whether it is one of our workers, which needs topics for its failures.
        slow: Whether it takes so long that it gets fewer events.

    """

    name: str
    command: Sequence[str]
    kind: str
    ours: bool = False
    slow: bool = False


async def new_group(ground: Ground, reader: Reader) -> str:
    """Return the plain name of a group that has committed nothing."""
    return await ground.new_group() if reader.ours else ground.new_name()


def started(
    ground: Ground, reader: Reader, plain_group: str, folder: Path, job: Mapping[str, Any]
) -> Contestant:
    """Return a reader's process, to be entered.

    Args:
        ground: Where it reads.
        reader: Which one.
        plain_group: Its group, without the namespace.
        folder: For its tables; no other process's.
        job: What it is told besides: ``count``, and more.

    """
    told = {
        "servers": ground.servers,
        "namespace": ground.namespace,
        "topic": ground.topic,
        "plain_group": plain_group,
        "group": f"{ground.namespace}.{plain_group}",
        "kind": reader.kind,
        "folder": str(folder),
        **job,
    }
    environment = environment_of(ground.servers, folder)
    return Contestant(reader.name, [*reader.command, json.dumps(told)], environment)


async def read_all(ground: Ground, reader: Reader, count: int) -> Result:
    """Let a contestant read all that is preloaded, with a group of its own.

    Raises:
        TrunklineError: It ended by itself, or does not end.

    """
    plain_group = await new_group(ground, reader)
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        job = {"count": count}
        async with started(ground, reader, plain_group, Path(folder), job) as contestant:
            await contestant.hears("ended_at", _TIMEOUT_S)
            await contestant.end()
            return result_of(contestant, count)


def result_of(contestant: Contestant, count: int) -> Result:
    """Return what a contestant that has ended came to, of so many events."""
    said = contestant.said
    distinct = said.get("distinct", 0)
    seconds = max(1e-6, said["ended_at"] - said["began_at"]) if "ended_at" in said else None
    # When all came in one batch (in tests), there is nothing to time but that.
    timed = count - said.get("began_with", 0) or count
    return Result(
        events=count,
        seconds=seconds,
        cpu_s=contestant.cpu_s,
        rss_mb=contestant.peak_mb,
        lost=count - distinct,
        repeated=said.get("handled", 0) - distinct,
        timed=timed,
        more={name: said[name] for name in _FIGURES if name in said},
    )
