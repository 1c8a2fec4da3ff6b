"""The consumers and producers that ours is measured against: they stand in ``bench/peers``."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trunkline.bench.ours import REPOSITORY
from trunkline.errors import TrunklineError

PEERS = REPOSITORY / "bench" / "peers"
_WITHOUT = "--no-peers"
_INSTALL_TIMEOUT_S = 300


def require_peers() -> None:
    """Make kafkajs ready to run: it is installed once, as its lock file says.

    Raises:
        TrunklineError: The peers, Node or npm are missing, or kafkajs cannot be installed.

    """
    _require_clone()
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise TrunklineError(
            f"{' and '.join(missing)} not found: kafkajs needs Node 18 or newer. Install it (on "
            f"Debian: apt-get install nodejs npm), or run with {_WITHOUT}."
        )
    with _only_one(PEERS / "package.json"):
        if not (PEERS / "node_modules" / ".package-lock.json").exists():
            _run(["npm", "ci", "--no-audit", "--no-fund"], PEERS)


def peers_python() -> str:
    """Return a Python that has the Python peers, as their lock file says, and nothing of ours.

    Its environment lies in ``.trunkline`` and is made once.

    Raises:
        TrunklineError: The peers are missing, or cannot be installed.

    """
    _require_clone()
    locked = PEERS / "requirements.txt"
    content = locked.read_bytes() + sys.version.encode()
    folder = REPOSITORY / ".trunkline" / f"peers-{hashlib.sha256(content).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    with _only_one(locked):
        if not complete.exists():
            uv = (sys.executable, "-m", "uv")
            _run([*uv, "venv", "--clear", "--python", sys.executable, str(folder)], PEERS)
            # Named outright: uv would take the environment that it runs in, which is ours.
            into = ("--python", str(python), "--require-hashes", "--compile-bytecode")
            _run([*uv, "pip", "install", *into, "-r", str(locked)], PEERS)
            complete.touch()
    return str(python)


def _require_clone() -> None:
    if not PEERS.is_dir():
        raise TrunklineError(
            f"{PEERS} is missing: the peers come with the repository, not with the package. "
            f"Run the benchmark from a clone, or with {_WITHOUT}."
        )


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let two benchmarks that begin at once install one after the other."""
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], folder: Path) -> None:
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise TrunklineError(
            f"'{shown}' in {folder} did not end within {_INSTALL_TIMEOUT_S} s. "
            f"Run it by hand to see why, or run the benchmark with {_WITHOUT}."
        ) from None
    if done.returncode:
        raise TrunklineError(
            f"'{shown}' in {folder} failed:\n{done.stderr[-1000:]}\n"
            f"Run it by hand, or run the benchmark with {_WITHOUT}."
        )
