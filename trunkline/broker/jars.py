"""Kafka's jars: resolved and downloaded once by jgo, afterwards found without any network.

They lie in ``$XDG_CACHE_HOME/trunkline/kafka-<version>/`` (``~/.cache`` when unset). The folder is
filled under another name and renamed when it is complete, so that a download that was cut off
never leaves half a jar behind: jgo takes whatever file exists for a whole one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trunkline.errors import BrokerError

#: The newest without KAFKA-20734: from 4.3 on, a node that comes back before it was fenced may skip
#: the markers of a transaction whose commit it acknowledged.
KAFKA_VERSION = "4.2.2"
#: From slf4j to log4j. Kafka's jars bring none (its archive does): without, no line is logged.
LOG4J_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"

#: Class path entries, one a line with the file's size in bytes: what a complete folder holds.
_LIST = "classpath.txt"
_DOWNLOADS = 6
_TIMEOUT_S = 60

Say = Callable[[str], None]


def cache_dir() -> Path:
    """Return the folder that holds the jars of this version of Kafka."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "trunkline" / f"kafka-{KAFKA_VERSION}"


def class_path(say: Say, folder: Path | None = None) -> list[Path]:
    """Return the jars that run Kafka, and download them first when they are not there yet.

    Args:
        say: Takes the one line that tells the user about the download.
        folder: Where the jars lie; :func:`cache_dir` unless given.

    Raises:
        BrokerError: They could not be downloaded, or the cache folder cannot be written.

    """
    folder = folder or cache_dir()
    jars = _remembered(folder)
    if jars:
        return jars
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(folder.with_name(f"{folder.name}.lock")):
            # Another process may have finished the download while this one waited for the lock.
            jars = _remembered(folder)
            if not jars:
                _download(folder, say)
                jars = _remembered(folder)
    except OSError as error:
        if isinstance(error, _network_errors()):
            raise _not_fetched(error) from error
        raise BrokerError(
            f"Cannot keep Kafka's jars in {folder}: {error}. "
            "Set XDG_CACHE_HOME to a folder that can be written and has 60 MB left."
        ) from error
    if not jars:
        raise BrokerError(f"The jars in {folder} vanished while they were fetched; start again.")
    return jars


def _remembered(folder: Path) -> list[Path]:
    """Return the jars of a complete folder; none when one is missing or has another size."""
    try:
        lines = (folder / _LIST).read_text("utf-8").splitlines()
        listed = [line.split(" ", 1) for line in lines]
        jars = [folder / name for _, name in listed]
        whole = all(
            jar.stat().st_size == int(size) for jar, (size, _) in zip(jars, listed, strict=True)
        )
    except (OSError, ValueError):
        return []
    return jars if whole else []


def _download(folder: Path, say: Say) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    artifacts = _resolve(partial, say)
    say(f"Fetching Apache Kafka {KAFKA_VERSION} ({len(artifacts)} jars, once) …")
    try:
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            jars = list(pool.map(lambda artifact: Path(artifact.resolve()), artifacts))
    except RuntimeError as error:
        raise _not_fetched(error) from error
    lines = [f"{jar.stat().st_size} {jar.relative_to(partial)}" for jar in jars]
    (partial / _LIST).write_text("\n".join(lines) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _resolve(repository: Path, say: Say) -> list[Any]:
    """Return jgo's artifacts of Kafka and all that it needs at run time, not yet downloaded."""
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
    say(f"Resolving Apache Kafka {KAFKA_VERSION} …")

    def dependency(endpoint: str) -> Any:
        [coordinate] = Endpoint.parse(endpoint).coordinates
        coordinate.scope = coordinate.scope or "compile"
        return context.create_dependency(coordinate)

    try:
        inputs, transitive = context.resolver.resolve([dependency(KAFKA)])
        # By itself and without what it needs: resolved together with Kafka, the binding's own
        # dependency management swapped kafka-clients for 3.9.1 and a broker could not start.
        binding, _ = context.resolver.resolve([dependency(LOG4J_BINDING)], transitive=False)
    except RuntimeError as error:
        raise _not_fetched(error) from error
    needed = [one for one in transitive if one.scope in {"compile", "runtime"}]
    return [one.artifact for one in (*inputs, *needed, *binding)]


def _network_errors() -> tuple[type[OSError], ...]:
    import requests  # noqa: PLC0415  # comes with jgo; only a failed download asks for it

    return (requests.RequestException,)


def _not_fetched(error: Exception) -> BrokerError:
    return BrokerError(
        f"Could not fetch Apache Kafka {KAFKA_VERSION} from Maven Central: {error}. "
        "Check the network and start again, name a mirror in jgo's configuration file "
        "(~/.config/jgo.conf, [repositories]), or set KAFKA_BOOTSTRAP_SERVERS to a cluster."
    )


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time in, as long as it takes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
