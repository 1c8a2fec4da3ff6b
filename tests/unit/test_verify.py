"""``trunkline verify`` judges right: a lying count differs, a broken pattern differs, exit 1."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.console import Console

from trunkline.cli import cli as commands
from trunkline.cli import interrupting
from trunkline.cli import verify as cli
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import RecordMetadata
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.verifying.outcome import Outcome, Pattern
from trunkline.verifying.patterns import PATTERNS
from trunkline.verifying.patterns.sharing import SHARING
from trunkline.verifying.report import as_table, summary
from trunkline.verifying.runner import TO_ITS_END, play
from trunkline.verifying.snapshot import Snapshot
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError

EVENTS = 600
#: Two pods of a service, and the partitions of theirs.
SHARES = {1: {0, 2}, 2: {1}}


class FakeStage:
    """A stage on which all goes well, but for what a test makes it tell."""

    topology = Topology("fake")

    def __init__(self):
        self.sent = []
        self.rows = EVENTS
        self.committed_offsets = EVENTS
        self.handled_more = {}
        self.shares = SHARES

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def pods(self, service, count, **_):
        return [f"{service}-{number}" for number in range(1, count + 1)]

    async def start(self, *_):
        pass

    async def wait_shared(self, *_):
        pass

    async def publish(self, topic, events):
        self.sent = [RecordMetadata(topic, i % 3, i // 3) for i in range(len(events))]
        return self.sent

    async def look(self, *pods):
        return [self._snapshot(pod) for pod in pods]

    def _snapshot(self, pod):
        mine = self.shares[int(pod[-1])]
        handled = sum(place.partition in SHARES[int(pod[-1])] for place in self.sent)
        return Snapshot(
            pod,
            {AUTH_REGISTERED: handled + self.handled_more.get(pod, 0)},
            {AUTH_REGISTERED: frozenset(mine)},
        )

    def database(self, _):
        return self

    def users(self):
        return {"rows": self.rows, "users": self.rows}

    def events(self, _):
        return self.rows

    async def committed(self, *_):
        return self.committed_offsets

    async def settle(self, expected, count):
        return await count()


async def test_an_honest_count_is_as_expected():
    """Where all goes well, nothing differs."""
    outcome = await play(SHARING, FakeStage())
    assert outcome.ok, outcome


@pytest.mark.parametrize(
    ("lie", "name"),
    [
        ({"rows": EVENTS - 1}, "rows"),
        ({"rows": EVENTS + 1}, "rows"),
        ({"committed_offsets": EVENTS - 1}, "committed"),
        ({"handled_more": {"db-server-2": 1}}, "handled"),
        (
            {"handled_more": {"db-server-1": 1, "db-server-2": -1}},
            "pods_that_handled_other_than_their_partitions",
        ),
        ({"shares": {1: {0, 1, 2}, 2: {1}}}, "partitions_with_two_pods"),
    ],
)
async def test_a_lying_count_differs_where_it_lies(lie, name):
    """One event too few or too many, anywhere, is a difference, and stands under its name."""
    stage = FakeStage()
    for attribute, value in lie.items():
        setattr(stage, attribute, value)
    outcome = await play(SHARING, stage)
    assert not outcome.ok
    assert outcome.counted["db-server"][name] != outcome.expected["db-server"][name]


async def test_a_pattern_that_cannot_be_counted_differs_by_what_went_wrong():
    """A worker that ends is a difference with its message, not a traceback."""

    async def fail(_):
        raise WorkerError("Worker db-server-1 ended with 1")

    outcome = await play(replace(SHARING, play=fail), FakeStage())
    assert not outcome.ok
    assert outcome.expected == TO_ITS_END
    assert outcome.counted == "Worker db-server-1 ended with 1"


async def test_a_mistake_of_ours_is_not_taken_for_a_difference():
    """Only what a cluster or a worker can do wrong is an outcome; a bug stays a bug."""

    async def fail(_):
        raise KeyError("typo")

    with pytest.raises(KeyError):
        await play(replace(SHARING, play=fail), FakeStage())


def test_names_are_unique_and_in_kebab_case():
    """A pattern is chosen by its name."""
    names = [pattern.name for pattern in PATTERNS]
    assert len(set(names)) == len(names) == 16
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in names)


def test_the_table_shows_expected_and_counted_side_by_side():
    """People see what differs without reading JSON."""
    outcomes = [
        Outcome("one", {"rows": 3, "of_pods": {"db-server-1": [1, 2]}, "works": True}, {"rows": 2}),
        Outcome("two", TO_ITS_END, "Worker db-server-1 ended with 1"),
        Outcome("three", {"rows": 3}, {"rows": 3}),
    ]
    shown = io.StringIO()
    Console(width=120, file=shown).print(as_table(outcomes))
    text = shown.getvalue()
    for part in ("rows 3", "rows 2", "of pods: db-server-1 1, 2", "works yes", "ended with 1"):
        assert part in text
    assert text.count("DIFFERENT") == 2
    assert summary(outcomes) == "2 of 3 patterns differ: one, two."


@pytest.fixture
def run(monkeypatch):
    """Run the command with outcomes of the test's choosing; the cluster is only named."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    def run(outcomes, *arguments):
        async def fake_patterns(patterns: list[Pattern], *_, **__):
            for outcome in outcomes:
                if outcome.name in [pattern.name for pattern in patterns]:
                    yield outcome

        monkeypatch.setattr(cli, "run_patterns", fake_patterns)
        return CliRunner().invoke(commands, ["verify", *arguments])

    return run


FIRST, SECOND = PATTERNS[0].name, PATTERNS[1].name
GOOD = Outcome(FIRST, {"rows": 1}, {"rows": 1})
BAD = Outcome(SECOND, {"rows": 1}, {"rows": 2})


def test_exits_with_1_on_any_difference(run):
    """One different pattern among good ones fails the command, and all are printed."""
    result = run([GOOD, BAD], "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "patterns": [
            {"name": FIRST, "expected": {"rows": 1}, "counted": {"rows": 1}, "ok": True},
            {"name": SECOND, "expected": {"rows": 1}, "counted": {"rows": 2}, "ok": False},
        ]
    }


def test_exits_with_0_when_all_is_as_expected(run):
    """The table ends with one line that says so."""
    result = run([GOOD])
    assert result.exit_code == 0
    assert result.stdout.endswith("All 1 patterns counted as expected.\n")


def test_runs_only_the_chosen_patterns(run):
    """``--pattern`` leaves out the others, the different one too."""
    assert run([GOOD, BAD], "--pattern", FIRST).exit_code == 0
    assert run([GOOD, BAD], "--pattern", SECOND).exit_code == 1


def test_an_unknown_pattern_is_a_usage_error(run):
    """The known ones are listed."""
    result = run([], "--pattern", "nonsense")
    assert result.exit_code == 2
    assert FIRST in result.stderr


def test_says_where_logs_are_only_when_they_stay(run):
    """After a difference the workers' logs are what one needs."""
    assert "Logs and data" in run([BAD]).stderr
    assert "Logs and data" in run([GOOD], "--keep").stderr
    assert "Logs and data" not in run([GOOD]).stderr


async def test_a_cancellation_that_gets_lost_is_repeated(monkeypatch):
    """A client that takes the first one for its own does not keep the run alive."""
    monkeypatch.setattr(interrupting, "_CANCEL_AGAIN_S", 0.01)

    async def loses_the_first():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(loses_the_first())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await interrupting.cancel(task)
    assert task.cancelled()


async def test_a_stage_is_left_tidy_however_often_it_is_cancelled(tmp_path):
    """What it opened is closed before the cancellation goes on."""
    stage, closed = Stage(KafkaConnection.plaintext("localhost:1"), "n", tmp_path, ()), []

    async def close():
        await asyncio.sleep(0.05)
        closed.append(True)

    stage._stack = contextlib.AsyncExitStack()
    stage._stack.push_async_callback(close)
    task = asyncio.create_task(stage.__aexit__(None, None, None))
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed
