"""How a Trunkline worker is run as a contestant.

Workers stand in ``bench/`` beside the package, for they wire what only an entry point may see.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import TrunklineError

#: The clone's folder; Python contestants find ours and the event models there.
REPOSITORY = Path(__file__).resolve().parents[2]


def ours() -> tuple[str, str]:
    """Return the command of our worker that retries; its job follows as JSON.

    Raises:
        TrunklineError: This is no clone of the repository.

    """
    return sys.executable, _worker("retrying.py")


def our_worker() -> tuple[str, str]:
    """Return the command of our worker with a handler for measuring; its job follows as JSON.

    Raises:
        TrunklineError: This is no clone of the repository.

    """
    return sys.executable, _worker("measured.py")


def environment_of(servers: str, folder: Path) -> Mapping[str, str]:
    """Return what every contestant gets: only what it must know; all else is as it is by default.

    Args:
        servers: ``host:port`` of the brokers.
        folder: For its tables; no other process's.

    """
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "PYTHONPATH": str(REPOSITORY),
        "TRUNKLINE_DATA_DIR": str(folder),
    }


def settings_of(servers: str, folder: Path, backoff: str) -> Mapping[str, str]:
    """Return the environment of a worker that retries.

    Args:
        servers: ``host:port`` of the brokers.
        folder: Where its tables are.
        backoff: When failed events are tried again, three times.

    """
    return {
        **environment_of(servers, folder),
        "TRUNKLINE_POD": "bench",
        "TRUNKLINE_MAX_RETRIES": "3",
        "TRUNKLINE_RETRY_BACKOFF": backoff,
        # Far more fails here than where something is wrong, and nothing is.
        "TRUNKLINE_BREAKER_SHARE": "0",
        "TRUNKLINE_FLOOD_GUARD_SHARE": "0",
    }


def _worker(name: str) -> str:
    path = REPOSITORY / "bench" / name
    if not path.exists():
        raise TrunklineError(
            f"{path} is missing: it comes with the repository, not with the package. "
            "Run the benchmark from a clone."
        )
    return str(path)
