"""What ``trunkline up`` starts does not outlive it, whatever ends it."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.waiting import eventually

_UP = """
import sys
from trunkline.up.processes import new_manager
manager = new_manager()
manager.add_process("polite", "exec sleep 300")
manager.add_process("deaf", "trap '' TERM; sleep 301; sleep 302; sleep 303")
manager.loop()
"""


def processes_of(up: psutil.Process) -> list[psutil.Process]:
    """Return all below it that matter: sleeps, and what waits for them."""
    return [one for one in up.children(recursive=True) if "resource_tracker" not in one.cmdline()]


def runs(one: psutil.Process) -> bool:
    """Tell whether it has not ended."""
    return one.is_running() and one.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_is_left_when_it_ends(number):
    """Not even what does not listen to SIGTERM."""
    up = psutil.Popen(
        [sys.executable, "-c", _UP], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    found: list[psutil.Process] = []
    try:

        def sleeps():
            return {word for one in processes_of(up) for word in words_of(one)[-1:]}

        await eventually(lambda: sleeps() >= {"300", "301"}, 20, "both processes")
        found = processes_of(up)
        up.send_signal(number)
        up.wait(30)
        await eventually(lambda: not any(map(runs, found)), 30, "all of them to end")
    finally:
        for one in found:
            if one.is_running():
                one.kill()
        if up.poll() is None:
            up.kill()


def words_of(process: psutil.Process) -> list[str]:
    """Return a process's command line; nothing while it is being made, or gone."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
