"""Programs of others: our scripts in ``tests/foreign``, run by node with locked npm packages."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.missing import needs

FOREIGN = Path(__file__).parent.parent / "foreign"

RunScript = Callable[..., Awaitable[Any]]


def foreign_scripts() -> RunScript:
    """Return what runs a script with arguments and ``stdin``, and reads the JSON that it prints.

    The packages are installed once, and anew when their lock file has changed.
    """
    needs("node")
    needs("npm")
    lock = FOREIGN / "package-lock.json"
    with lock.open() as locked:  # xdist's workers install them one by one
        fcntl.flock(locked, fcntl.LOCK_EX)
        stamp = FOREIGN / "node_modules" / ".locked"
        if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
            # No package of ours needs to run anything of its own to be installed.
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=FOREIGN, check=True, timeout=120)
            shutil.copy(lock, stamp)

    async def run(script: str, *args: object, stdin: str | None = None) -> Any:
        return json.loads(await communicate("node", FOREIGN / script, *args, stdin=stdin))

    return run


async def communicate(*command: object, stdin: str | None = None) -> str:
    """Run a command to its end; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(90):
            out, err = await process.communicate((stdin or "").encode())
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, err.decode()
    return out.decode()
