"""Free ports: no two processes are given the same one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from trunkline.broker import ports
from trunkline.broker.reservations import Reservations

_GIVE = """
import sys
from pathlib import Path
from trunkline.broker import ports
from trunkline.broker.reservations import Reservations
ports.Reservations = lambda: Reservations(Path(sys.argv[1]))
ports._FREE_FROM, ports._FREE_TO = 20_000, 20_400
print(*(ports.find_free_port() for _ in range(15)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return a shared file of this test."""
    path = tmp_path / "ports.json"
    monkeypatch.setattr(ports, "Reservations", lambda: Reservations(path))
    return path


def test_processes_are_given_different_ports(path):
    """Four processes at once, with little to choose from."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", _GIVE, path], **pipes) for _ in range(4)]
    given = [port for one in processes for port in one.stdout.readline().split()]
    for one in processes:
        one.communicate()
    assert len(given) == len(set(given)) == 60


def test_what_a_dead_process_was_given_is_free_again(path):
    """Its ports are not kept back for ever."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.write_text(json.dumps({"20000": ended.pid}))
    with Reservations(path).held() as taken:
        assert taken == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"20000": "x"}'])
def test_a_damaged_file_is_begun_anew(path, text):
    """A process may be killed while it writes."""
    path.write_text(text)
    port = ports.find_free_port()
    assert str(port) in json.loads(path.read_text())


def test_a_file_that_cannot_be_had_does_no_harm(tmp_path, monkeypatch):
    """The port is found all the same."""
    monkeypatch.setattr(ports, "Reservations", lambda: Reservations(tmp_path / "none/ports"))
    assert ports.find_free_port() >= 20_000
