"""How long a worker may take its partitions for its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from trunkline.delivery.lease import Lease, uptime_s


class Clock:
    """Seconds, as told."""

    now = 100.0

    def __call__(self):
        """Return them."""
        return self.now


class Coordinator:
    """Answers as it is told to, after some time."""

    def __init__(self, clock):
        self.clock = clock
        self.takes_s, self.answer = 0.0, True

    async def _do_heartbeat(self):
        self.clock.now += self.takes_s
        return self.answer

    async def _do_rejoin_group(self, _subscription):
        return await Coordinator._do_heartbeat(self)


def watched():
    """Return a lease of ten seconds, its clock and what it follows."""
    clock = Clock()
    lease, coordinator = Lease(10.0, clock), Coordinator(clock)
    lease.watch(coordinator)
    return lease, clock, coordinator


async def test_it_is_over_after_half_of_the_session():
    """The other half is for what is done because of the answer."""
    lease, clock, coordinator = watched()
    assert not lease.holds
    await coordinator._do_heartbeat()
    clock.now += 4.9
    assert lease.holds
    clock.now += 0.2
    assert not lease.holds


async def test_to_join_counts_too():
    """A new member need not wait for its first heartbeat."""
    lease, _, coordinator = watched()
    await coordinator._do_rejoin_group("subscription")
    assert lease.holds


async def test_an_answer_counts_from_its_question():
    """A worker that was frozen while it waited for the answer learns nothing from it."""
    lease, _, coordinator = watched()
    coordinator.takes_s = 6.0
    await coordinator._do_heartbeat()
    assert not lease.holds


async def test_a_refusal_renews_nothing():
    """The group does not know us, or nobody answers."""
    lease, clock, coordinator = watched()
    await coordinator._do_heartbeat()
    coordinator.answer = False
    clock.now += 4.0
    await coordinator._do_heartbeat()
    clock.now += 2.0
    assert not lease.holds


def test_the_clock_goes_on_while_a_process_is_frozen():
    """SIGSTOP for half a second."""
    code = (
        "from trunkline.delivery.lease import uptime_s\n"
        "import sys\nbegan = uptime_s()\nprint(flush=True)\nsys.stdin.readline()\n"
        "print(uptime_s() - began)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate("\n")
    assert float(said) >= 0.5
    assert uptime_s() >= time.monotonic() - 1.0
