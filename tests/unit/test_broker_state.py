"""What the embedded broker remembers, and what it makes of a folder it did not expect."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from trunkline.broker import EmbeddedBroker
from trunkline.broker.layout import Layout
from trunkline.broker.process import end, is_running
from trunkline.broker.state import NodeState, State, read_state, write_state
from trunkline.errors import BrokerError, ConfigurationError


@pytest.fixture
def sleeper(tmp_path):
    """Give a process with this test's mark on its command line."""
    mark = tmp_path / "node-0.properties"
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(mark)]
    with subprocess.Popen(command) as process:
        yield process, mark
        process.kill()


def pretend_data(directory, nodes):
    for node in range(nodes):
        folder = Layout(directory).node_data(node)
        folder.mkdir(parents=True)
        (folder / "meta.properties").write_text("#\ncluster.id=abc\nnode.id=0\n")


def test_reads_back_the_state_it_wrote(tmp_path):
    """Nothing of a state is lost on the way to the file and back."""
    state = State("abc", "4.4.0", 19092).with_pid(1, 11).with_pid(0, 10).with_pid(1, 12)
    write_state(tmp_path / "state.json", state)

    assert read_state(tmp_path / "state.json") == state
    assert state.nodes == (NodeState(0, 10), NodeState(1, 12))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"nodes": 3}', '{"nodes": [{"node": 0}]}'])
def test_takes_a_broken_state_file_for_none(tmp_path, text):
    """A file that was cut off or is someone else's never keeps the broker from starting."""
    (tmp_path / "state.json").write_text(text)

    assert read_state(tmp_path / "state.json") is None


def test_recognises_its_process_by_the_command_line(sleeper):
    """A living pid without our mark is somebody else's."""
    process, mark = sleeper

    assert is_running(process.pid, mark)
    assert not is_running(process.pid, mark.with_name("node-1.properties"))
    assert not is_running(os.getpid(), mark)


def test_waits_for_the_command_line_of_a_process_that_just_started(sleeper, monkeypatch):
    """While a process becomes another program, its command line is empty."""
    process, mark = sleeper
    answers = iter([[], [], [sys.executable, str(mark)]])
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _: next(answers))

    assert is_running(process.pid, mark)


def test_a_process_that_ended_is_not_running(sleeper, monkeypatch):
    """Nobody has waited for it yet: a zombie, whose command line is empty for good."""
    process, mark = sleeper
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited for a command line"))

    assert not is_running(process.pid, mark)


def test_ends_no_process_that_is_not_ours(sleeper):
    """A stale state whose pid was given to another program harms nobody."""
    process, mark = sleeper
    end({process.pid: mark.with_name("other")}, timeout_s=0)

    assert process.poll() is None


def test_kills_what_does_not_stop_in_time(tmp_path):
    """A process that ignores SIGTERM is killed after the limit, and reported."""
    mark = str(tmp_path / "mark")
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", stubborn, mark]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()

        assert end({process.pid: tmp_path / "mark"}, timeout_s=0.1) == [process.pid]


def test_is_not_running_when_the_pid_was_taken_by_another(tmp_path):
    """After a reboot the state file names processes that are not brokers."""
    pretend_data(tmp_path, nodes=1)
    write_state(tmp_path / "state.json", State("abc", "4.4.0", 19092).with_pid(0, os.getpid()))
    status = EmbeddedBroker(tmp_path).status()

    assert not status.running
    assert status.nodes[0].pid is None
    assert EmbeddedBroker(tmp_path).stop() is False


def test_refuses_another_number_of_nodes_than_the_data_has(tmp_path):
    """One node cannot read what three hold; the message tells the three ways out."""
    pretend_data(tmp_path, nodes=3)

    with pytest.raises(ConfigurationError, match=r"3 nodes.*--nodes 3.*--reset.*--dir"):
        EmbeddedBroker(tmp_path, port=0).start()


def test_names_the_port_that_is_in_use_before_anything_is_fetched(tmp_path, listener):
    """A taken port is found at once, also one of a controller."""
    for port in (listener, listener - 10):
        with pytest.raises(BrokerError, match=rf"Port {listener} .* is in use.*--port N"):
            EmbeddedBroker(tmp_path, port=port).start()


@pytest.fixture
def listener():
    """Give a port at which somebody listens."""
    import socket

    from trunkline.broker import find_free_port

    port = find_free_port()
    with socket.create_server(("127.0.0.1", port)):
        yield port


@pytest.mark.parametrize(("nodes", "folder"), [(2, "ok"), (1, "a,b")])
def test_refuses_what_kafka_cannot_do(tmp_path, nodes, folder):
    """Two nodes elect nobody, and a comma parts Kafka's folders."""
    with pytest.raises(ConfigurationError):
        EmbeddedBroker(tmp_path / folder, nodes=nodes)


def test_removes_only_what_it_wrote(tmp_path):
    """A reset spares files that someone else keeps in the same folder."""
    pretend_data(tmp_path, nodes=1)
    (tmp_path / "notes.txt").write_text("mine")
    Layout(tmp_path).remove()

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
