"""What an operator does and sees during a pattern: the command line, and failed events."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import msgspec

from trunkline.dead_letters.reading import DeadLetter, read_dead_letter
from trunkline.verifying.environment import inherited_environment, project_root
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError

_COMMAND_TIMEOUT_S = 60.0


async def run_command(stage: Stage, *arguments: str) -> Any:
    """Run ``trunkline …  --json`` in a process of its own; return what it printed.

    Args:
        stage: Whose cluster and namespace it is for.
        arguments: Those of the command, such as ``"dlq", "ls"``.

    Raises:
        WorkerError: It ended with an error, or not in time.

    """
    command = [sys.executable, "-m", "trunkline", *arguments, "--json"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=project_root(),
        env={
            **inherited_environment(),
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(stage.connection.servers),
            "TRUNKLINE_NAMESPACE": stage.topology.namespace,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    shown = f"trunkline {' '.join(arguments)}"
    try:
        async with asyncio.timeout(_COMMAND_TIMEOUT_S):
            printed, said = await process.communicate()
    except TimeoutError:
        raise WorkerError(f"{shown} takes longer than {_COMMAND_TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != os.EX_OK:
        text = said.decode(errors="replace").strip()
        raise WorkerError(f"{shown} ended with {process.returncode}: {text}")
    return msgspec.json.decode(printed)


async def waiting_events(stage: Stage, service: str) -> list[dict[str, Any]]:
    """Return a service's events that wait for another attempt, as ``trunkline retries ls`` does."""
    group = stage.topology.service(service).group or ""
    found: list[dict[str, Any]] = (await run_command(stage, "retries", "ls", "--group", group))[
        "events"
    ]
    return found


async def dead_letters(stage: Stage, topic: str) -> list[DeadLetter]:
    """Return the dead letters of a topic (its plain name)."""
    name = stage.topology.dead_letters_topic(topic).name
    return [read_dead_letter(record) for record in await stage.observer.read_all(name)]
