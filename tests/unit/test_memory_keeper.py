"""What a worker no longer needs goes back, though Python and glibc put it off."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref

import pytest

from trunkline.delivery.memory import MemoryKeeper

_FRAGMENT = """
import asyncio, os
from trunkline.delivery.memory import MemoryKeeper

def held_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

backlog = [b"x" * 60_000 for _ in range(2_000)]
last = b"x" * 60_000  # what lies on top keeps glibc from giving back what is below
full = held_mb()
del backlog
kept = held_mb()
asyncio.run(MemoryKeeper().tidy())
print(full - kept, full - held_mb())
"""


class Node:
    """Refers to itself, so only the collector frees it."""

    def __init__(self):
        self.me = self


class Clock:
    """Seconds, as told."""

    now = 0.0

    def __call__(self):
        """Return them."""
        return self.now


@pytest.fixture
def collector():
    """Keep the collector from running by itself, as good as in a worker."""
    threshold = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1_000_000, 20, 50)
    yield
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
async def test_young_cycles_go_each_time():
    """They do not pile up until there are 100,000 of them."""
    keeper, node = MemoryKeeper(Clock()), weakref.ref(Node())
    assert node() is not None
    await keeper.tidy()
    assert node() is None


@pytest.mark.usefixtures("collector")
async def test_old_cycles_go_after_ten_minutes():
    """What lived while young ones were collected is looked at rarely."""
    clock = Clock()
    keeper, old = MemoryKeeper(clock), Node()
    node = weakref.ref(old)
    await keeper.tidy()
    del old
    clock.now = 599.0
    await keeper.tidy()
    assert node() is not None
    clock.now = 601.0
    await keeper.tidy()
    assert node() is None


@pytest.mark.usefixtures("collector")
async def test_walking_all_objects_takes_a_small_share_of_the_time(monkeypatch):
    """A second for each walk: one in half an hour."""
    clock, walks = Clock(), []

    def collect(generation=2):
        if generation == 2:
            clock.now += 1.0
            walks.append(clock.now)

    monkeypatch.setattr(gc, "collect", collect)
    keeper = MemoryKeeper(clock)
    while clock.now < 10_000:
        clock.now += 60
        await keeper.tidy()
    assert 3 <= len(walks) <= 6


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_pages_of_a_backlog_go_back():
    """A backlog of 120 MB was caught up with."""
    ran = subprocess.run(
        [sys.executable, "-c", _FRAGMENT], capture_output=True, text=True, check=True
    )
    by_itself_mb, tidied_mb = map(float, ran.stdout.split())
    assert by_itself_mb < 20, "glibc gave it back: the test shows nothing"
    assert tidied_mb > 90


async def test_runs_until_it_is_cancelled(monkeypatch):
    """Once a minute."""
    monkeypatch.setattr("trunkline.delivery.memory._TIDY_S", 0.01)
    keeper, times = MemoryKeeper(), []

    async def tidy():
        times.append(1)

    monkeypatch.setattr(keeper, "tidy", tidy)
    task = asyncio.create_task(keeper.run())
    while len(times) < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
