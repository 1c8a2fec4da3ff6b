"""A process that commits to the retries table as fast as it can, until it is killed.

    python -m tests.support.retries_writer <bootstrap servers> <namespace> <data folder>

Step *n* adds the events of step n, changes the states of step n-1, deletes those of step n-2, and
sets ``applied`` to n; then it prints n.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.retries_table import ids, make_entry, make_table, state_of
from trunkline.retries.store import Changes

PER_STEP = 20


def numbers_of(step: int) -> range:
    """Return the numbers of the events of one step."""
    return range(step * PER_STEP, (step + 1) * PER_STEP)


def expected(applied: int) -> dict[int, int]:
    """Return what waits after a step: number of the event to its attempts."""
    if applied < 0:
        return {}
    old = dict.fromkeys(numbers_of(applied - 1), 2) if applied else {}
    return old | dict.fromkeys(numbers_of(applied), 1)


def changes_of(step: int) -> Changes:
    """Return the changes of one step."""
    return Changes(
        entries=[make_entry(n, b"x" * 300) for n in numbers_of(step)],
        states={event: state_of(2) for event in ids(numbers_of(step - 1))} if step else {},
        gone=ids(numbers_of(step - 2)) if step > 1 else [],
        applied=step,
    )


async def _write(servers: str, namespace: str, data_dir: Path) -> None:
    partition = await make_table(servers, namespace, data_dir).open(0)
    step = partition.applied
    while True:
        step += 1
        await partition.commit(changes_of(step))
        print(step, flush=True)  # its parent reads it


if __name__ == "__main__":
    asyncio.run(_write(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
