"""Gives a Python process a system clock that a test can set: Python imports this at its start.

``time.time`` is ahead by the seconds that stand in the file ``ODD_CLOCK``; ``time.monotonic`` is as
always, as it is when a system's clock is set. (libfaketime does it for C code too, and made workers
so slow that they lost their partitions.)
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_FILE = Path(os.environ["ODD_CLOCK"])
_LOOK_AGAIN_S = 0.1
_true_time, _monotonic = time.time, time.monotonic
_known = {"shift_s": 0.0, "until": 0.0}


def _shift_s() -> float:
    now = _monotonic()
    if now >= _known["until"]:
        _known.update(shift_s=float(_FILE.read_text() or 0), until=now + _LOOK_AGAIN_S)
    return _known["shift_s"]


def _odd_time() -> float:
    return _true_time() + _shift_s()


time.time = _odd_time
time.time_ns = lambda: int(_odd_time() * 1e9)
