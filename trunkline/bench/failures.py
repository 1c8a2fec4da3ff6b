"""Time until a share of all events is dead after their retries, and the rest handled (issue 4)."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.bench.contestant import Contestant
from trunkline.bench.failing import DeadLetters, FailingGround
from trunkline.bench.ours import ours, settings_of
from trunkline.bench.peers import PEERS, require_peers
from trunkline.errors import TrunklineError

#: The contestant that the ratios are against.
BASELINE = "kafkajs, retried"
#: Stock Faust as near as it comes to our promise: each attempt's count is written before the next.
FAUST = "Faust table agent, each attempt counted"
FAILING = 0.3
MAX_RETRIES = 3
ORDERED_KEYS = 1000

_TIMEOUT_S = 600.0
#: A contestant that says that it is through, and of which no dead letter comes any more, has lost
#: what is missing.
_GRACE_S = 2.0
_POLL_S = 0.02


@dataclass(frozen=True)
class _Entry:
    """How one contestant is run.

    Attributes:
        name: What it is called.
        command: Its command; the job follows as JSON. None is our worker.
        keys: How many keys its events have; None is one for each.
        options: What its job has besides.

    """

    name: str
    command: Sequence[str] | None
    keys: int | None = None
    options: Mapping[str, Any] | None = None


async def failures(
    servers: str,
    count: int,
    rounds: int,
    progress: Callable[[str], None],
    *,
    ours_only: bool,
    share: float = FAILING,
) -> list[dict[str, Any]]:
    """Measure all contestants, interleaved, each run on topics of its own.

    Time runs from the first event that is delivered to the moment at which the last good one is
    handled and the last dead letter can be read.

    Args:
        servers: ``host:port`` of the brokers.
        count: Events that are preloaded.
        rounds: How often each contestant runs.
        progress: Told what is going on.
        ours_only: Whether to leave out the peers, which need Node.
        share: Of the events fails at every attempt.

    Returns:
        Rows with ``contestant``, ``keys``, ``seconds`` (median), ``good_s`` and ``dead_s`` (when
        the last good one was handled and the last bad one dead), ``events_per_s``, ``ratio``
        (against the baseline's; None for a contestant that lost events), ``ratio_to_faust``
        (against the stock Faust table agent's that counts each attempt), ``cpu_s`` and ``rss_mb``
        of the contestant; ``good`` and ``dead`` (as counted), and ``lost``, ``repeated`` and
        ``wrong_attempts``, which are the worst of all rounds, and 0 when all is as it should be.

    Raises:
        TrunklineError: A contestant failed or did not end in time.

    """
    if not ours_only:
        await asyncio.to_thread(require_peers)
    entries = [*([] if ours_only else _PEERS), *_OURS]
    measured: dict[str, list[dict[str, Any]]] = {entry.name: [] for entry in entries}
    for number in range(1, rounds + 1):
        for entry in entries:
            progress(f"Round {number} of {rounds}: {entry.name} …")
            result = await _run(servers, entry, count, round(count * share))
            progress(f"  {result['seconds']:.2f} s")
            measured[entry.name].append(result)
    rows = [_row(entry, measured[entry.name], count) for entry in entries]
    _compare(rows, "ratio", next((row for row in rows if row["contestant"] == BASELINE), rows[0]))
    _compare(rows, "ratio_to_faust", next((r for r in rows if r["contestant"] == FAUST), None))
    return rows


def _compare(rows: list[dict[str, Any]], name: str, baseline: dict[str, Any] | None) -> None:
    for row in rows:
        # One that loses events is fast at nothing.
        row[name] = None
        if baseline is not None and not row["lost"]:
            row[name] = round(row["events_per_s"] / baseline["events_per_s"], 3)


async def _run(servers: str, entry: _Entry, count: int, failing: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        async with FailingGround(servers) as ground:
            await ground.preload_failing(count, failing, entry.keys)
            job = {
                "servers": servers,
                "namespace": ground.namespace,
                "plain_group": ground.plain_group,
                "topic": ground.topic,
                "dead_letters": ground.dead_letters,
                "group": ground.group,
                "count": count,
                "good": count - failing,
                "folder": folder,
                **(entry.options or {}),
            }
            command = [*(entry.command or ours()), json.dumps(job)]
            environment = settings_of(servers, Path(folder), "fixed:0")
            async with (
                DeadLetters(ground) as dead,
                Contestant(entry.name, command, environment) as contestant,
            ):
                return await _measure(contestant, dead, count, failing)


async def _measure(
    contestant: Contestant, dead: DeadLetters, count: int, failing: int
) -> dict[str, Any]:
    await _wait(contestant, dead, count, failing)
    ended_at = time.time()
    await dead.settle()
    said = await contestant.end()
    await dead.settle()
    return _result(said, dead, count, failing, ended_at)


async def _wait(contestant: Contestant, dead: DeadLetters, count: int, failing: int) -> None:
    """Return when all is done, or when the contestant is through and has lost the rest."""
    deadline = time.monotonic() + _TIMEOUT_S
    said = contestant.said
    while True:
        contestant.check()
        good = "good_at" in said or count == failing
        if good and len(dead.numbers) >= failing:
            return
        if time.time() - max(said.get("through_at", time.time()), dead.last_at) > _GRACE_S:
            return
        if time.monotonic() > deadline:
            raise TrunklineError(
                f"{contestant.name} did not end within {_TIMEOUT_S:g} s: "
                f"{len(dead.numbers)} of {failing} dead letters are there, all good events are "
                f"{'' if good else 'not '}handled.\n{contestant.log_tail()}"
            )
        await asyncio.sleep(_POLL_S)


def _result(
    said: dict[str, Any], dead: DeadLetters, count: int, failing: int, ended_at: float
) -> dict[str, Any]:
    began_at = said["began_at"]
    good_at = said.get("good_at", began_at if count == failing else ended_at)
    # A contestant that lost all dead letters was through when it had seen every event.
    dead_at = dead.last_at or said.get("through_at", ended_at)
    lost = (count - failing - said["distinct"]) + (failing - len(dead.numbers))
    return {
        "seconds": round(max(good_at, dead_at) - began_at, 3),
        "good_s": round(good_at - began_at, 3),
        "dead_s": round(dead_at - began_at, 3),
        "cpu_s": said["cpu_s"],
        "rss_mb": said["rss_mb"],
        "good": said["distinct"],
        "dead": len(dead.numbers),
        "lost": lost,
        "repeated": said["handled"] - said["distinct"] + dead.repeated,
        "wrong_attempts": abs(said["attempts"] - failing * (MAX_RETRIES + 1)),
    }


def _row(entry: _Entry, results: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    """Return the round with the median time as a row, with all rounds' times beside it."""
    middle = statistics.median_high(result["seconds"] for result in results)
    row = next(result for result in results if result["seconds"] == middle)
    return {
        "contestant": entry.name,
        "keys": entry.keys or count,
        "events_per_s": round(count / row["seconds"]),
        **row,
        **{name: max(r[name] for r in results) for name in ("lost", "repeated", "wrong_attempts")},
        "rounds": [result["seconds"] for result in results],
    }


_KAFKAJS = ("node", str(PEERS / "seed.mjs"))
_FAUST = (sys.executable, str(PEERS / "faust_table.py"))
_PEERS = (
    _Entry(BASELINE, _KAFKAJS, options={"retry": "inline"}),
    _Entry("kafkajs, the seed", _KAFKAJS, options={"retry": "none"}),
    _Entry("aiokafka loop", (sys.executable, str(PEERS / "loop.py"))),
    _Entry(FAUST, _FAUST, options={"counts": "each"}),
    _Entry("Faust table agent, counted once", _FAUST, options={"counts": "once"}),
)
_OURS = (
    _Entry("trunkline", None),
    _Entry(f"trunkline, {ORDERED_KEYS} keys", None, keys=ORDERED_KEYS),
)
