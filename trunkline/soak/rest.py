"""Is anything left to be tried again? As the pods of a group say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.topology import FAILURES_PARTITIONS


def all_open(retries: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether each failures partition is open at exactly one of a group's pods.

    What waits in one that is being recovered, or given away, is in no count.

    Args:
        retries: The ``retries`` of the ``/stats`` of all of the group's pods.

    """
    opened = [row["partition"] for one in retries for row in one["partitions"] if row["open"]]
    return sorted(opened) == list(range(FAILURES_PARTITIONS))
