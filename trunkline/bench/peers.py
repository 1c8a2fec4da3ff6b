"""The hand-made consumers that ours is measured against: they stand in ``bench/peers``."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from trunkline.errors import TrunklineError

_REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = _REPOSITORY / "bench" / "peers"
_INSTALL_TIMEOUT_S = 300


def require_peers() -> None:
    """Make the peers ready to run: kafkajs is installed once, as its lock file says.

    Raises:
        TrunklineError: They, Node or npm are missing, or kafkajs cannot be installed.

    """
    if not PEERS.is_dir():
        raise TrunklineError(
            f"{PEERS} is missing: the peers come with the repository, not with the package. "
            "Run the benchmark from a clone, or with --ours-only."
        )
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise TrunklineError(
            f"{' and '.join(missing)} not found: kafkajs needs Node 18 or newer. Install it (on "
            "Debian: apt-get install nodejs npm), or run with --ours-only."
        )
    with (PEERS / "package.json").open() as lock:  # two benchmarks at once install it one by one
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (PEERS / "node_modules" / ".package-lock.json").exists():
            _install()


def _install() -> None:
    command = ["npm", "ci", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command,
            cwd=PEERS,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise TrunklineError(
            f"'{' '.join(command)}' in {PEERS} did not end within {_INSTALL_TIMEOUT_S} s. "
            "Run it by hand to see why, or run the benchmark with --ours-only."
        ) from None
    if done.returncode:
        raise TrunklineError(
            f"'{' '.join(command)}' in {PEERS} failed:\n{done.stderr[-1000:]}\n"
            "Run it by hand, or run the benchmark with --ours-only."
        )
