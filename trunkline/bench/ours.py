"""How a Trunkline worker is run as a contestant that retries.

It stands in ``bench/`` beside the package, for it wires what only an entry point may see.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import TrunklineError

_WORKER = Path(__file__).resolve().parents[2] / "bench" / "retrying.py"


def ours() -> tuple[str, str]:
    """Return the command of our worker; its job follows as JSON.

    Raises:
        TrunklineError: This is no clone of the repository.

    """
    if not _WORKER.exists():
        raise TrunklineError(
            f"{_WORKER} is missing: it comes with the repository, not with the package. "
            "Run the benchmark from a clone."
        )
    return sys.executable, str(_WORKER)


def settings_of(servers: str, folder: Path, backoff: str) -> Mapping[str, str]:
    """Return the environment of a worker.

    Args:
        servers: ``host:port`` of the brokers.
        folder: Where its tables are.
        backoff: When failed events are tried again, three times.

    """
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "PYTHONPATH": str(_WORKER.parents[1]),
        "TRUNKLINE_POD": "bench",
        "TRUNKLINE_DATA_DIR": str(folder),
        "TRUNKLINE_MAX_RETRIES": "3",
        "TRUNKLINE_RETRY_BACKOFF": backoff,
        # Far more fails here than where something is wrong, and nothing is.
        "TRUNKLINE_BREAKER_SHARE": "0",
        "TRUNKLINE_FLOOD_GUARD_SHARE": "0",
    }
