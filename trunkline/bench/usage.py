"""What a process and its children have used, seen from outside: the same for every language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Usage:
    """CPU seconds (user and system) so far, and the most memory at once (the sum of the peaks)."""

    cpu_s: float
    peak_bytes: int


def usage_of(pid: int) -> Usage:
    """Return what a process, its children and their children have used; 0 when it is gone."""
    cpu_s, peak_bytes = 0.0, 0
    for process in processes_of(pid):
        try:
            cpu_s += sum(psutil.Process(process).cpu_times()[:4])
            peak_bytes += _peak_bytes(process)
        except (psutil.Error, OSError):
            continue  # it ended meanwhile: its parent has its CPU time
    return Usage(cpu_s, peak_bytes)


def rss_bytes(pid: int) -> int:
    """Return the memory that a process has now, without its children's; 0 when it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def processes_of(pid: int) -> Iterator[int]:
    """Yield the process and its descendants; psutil would look at every process there is."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = children.read_text("ascii").split()
        except OSError:
            continue
        for child in pids:
            yield from processes_of(int(child))


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace")
    if "VmHWM:" not in status:
        return 0  # a zombie
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
