"""What a contestant prints at its end."""

from __future__ import annotations

import json
import resource
import sys


def report(handled: int, seconds: float, **more: object) -> None:
    """Print one line of JSON: events, seconds, CPU seconds and peak memory of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    line = {
        "handled": handled,
        "seconds": round(seconds, 4),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "rss_mb": round(usage.ru_maxrss / 1024, 1),
        **more,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
