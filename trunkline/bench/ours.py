"""How a Trunkline worker is run as a contestant that retries."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import TrunklineError

_WORKER = Path(__file__).resolve().parents[2] / "bench" / "worker.py"


def ours() -> tuple[str, ...]:
    """Return the command of our worker; its job follows as JSON.

    Raises:
        TrunklineError: This is no clone: the worker is an entry point beside the package.

    """
    if not _WORKER.exists():
        raise TrunklineError(
            f"{_WORKER} is missing: it comes with the repository, not with the package. "
            "Run the benchmark from a clone."
        )
    return sys.executable, str(_WORKER)


def retry_settings(max_retries: int, backoff: str) -> Mapping[str, str]:
    """Return the environment for a worker whose failed events are tried again like this."""
    return {"TRUNKLINE_MAX_RETRIES": str(max_retries), "TRUNKLINE_RETRY_BACKOFF": backoff}
