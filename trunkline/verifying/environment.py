"""Where a worker process runs, and which of our environment variables it gets."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from trunkline.errors import ConfigurationError

#: What a shell may have set for other workers; ours are told by name.
_FOREIGN = ("DATABASE_URL", "HONCHO_PROCESS_NAME", "POD_NAME", "PORT", "PYTHONDONTWRITEBYTECODE")


def project_root() -> Path:
    """Return the folder of ``app.py``, where ``faust -A app worker`` works.

    Raises:
        ConfigurationError: There is no module ``app``.

    """
    spec = importlib.util.find_spec("app")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "There is no module 'app', which workers are made of. Install the project "
            "(scripts/install), or run this in the folder of app.py."
        )
    return Path(spec.origin).parent


def inherited_environment() -> dict[str, str]:
    """Return our environment without what was set for other workers."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _FOREIGN
        # How Kafka is reached is the same for all.
        and (not name.startswith("TRUNKLINE_") or name.startswith("TRUNKLINE_KAFKA_"))
    }
