"""``trunkline publish`` as users run it: files, pipes, mistakes, Ctrl-C and a broker that dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.kafka import create_topics, read_all
from tests.support.waiting import eventually
from trunkline.topology import AUTH_REGISTERED, USER_ACTIVITY

pytestmark = pytest.mark.kafka


def line(number):
    return json.dumps({"userId": str(number), "email": f"{number}@example.com"})


@pytest.fixture
async def topic(kafka, namespace):
    name = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {name: 3})
    return name


@pytest.fixture
def command(kafka, namespace):
    """Return a function that starts 'trunkline publish'."""
    started = []

    def command(*args, bootstrap=kafka, **environment):
        variables = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "TRUNKLINE_NAMESPACE": namespace}
        process = subprocess.Popen(
            [sys.executable, "-c", "from trunkline.cli import main; main()", "publish", *args],
            env={**os.environ, **variables, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(command):
    """Return a function that runs it to its end: exit code, summary, messages."""

    async def run(*args, stdin="", **options):
        process = command(*args, "--json", **options)
        out, err = await asyncio.to_thread(process.communicate, stdin, 60)
        return process.returncode, json.loads(out) if out else None, err

    return run


async def users(kafka, topic):
    return sorted(int(record.key) for record in await read_all(kafka, topic))


async def test_publishes_a_file_of_lines_and_an_array(kafka, topic, run, tmp_path):
    """NDJSON from a file, an array from a pipe: every event once."""
    file = tmp_path / "users.ndjson"
    file.write_text("\n".join(line(n) for n in range(5000)))
    code, summary, _ = await run(AUTH_REGISTERED, str(file))
    assert (code, summary["acknowledged"], summary["resume_from_line"]) == (0, 5000, None)
    array = "[" + ",".join(line(n) for n in range(5000, 5100)) + "]"
    code, summary, _ = await run(AUTH_REGISTERED, "-", stdin=array)
    assert (code, summary["acknowledged"]) == (0, 100)
    assert await users(kafka, topic) == list(range(5100))


async def test_ends_at_the_first_wrong_line_and_goes_on_from_there(kafka, topic, run, tmp_path):
    """What stands before it is published, nothing behind it; --from-line does the rest."""
    lines = [line(n) for n in range(3000)]
    file = tmp_path / "users.ndjson"
    file.write_text("\n".join([*lines[:2500], '{"userId": "x"}', *lines[2500:]]))
    code, summary, err = await run(AUTH_REGISTERED, str(file))
    assert (code, summary["acknowledged"], summary["resume_from_line"]) == (2, 2500, 2501)
    assert "line 2501: $.email: is missing" in err
    assert "go on with --from-line 2501" in err
    assert await users(kafka, topic) == list(range(2500))
    code, summary, err = await run(
        AUTH_REGISTERED, str(file), "--from-line", "2501", "--skip-invalid"
    )
    assert (code, summary["acknowledged"], summary["skipped"]) == (0, 500, 1)
    assert "line 2501" in err
    assert await users(kafka, topic) == list(range(3000))


async def test_publishes_samples_at_a_rate(kafka, namespace, run):
    """--count, --users and --rate: as many events, of so many users, no faster."""
    topic = f"{namespace}.{USER_ACTIVITY}"
    await create_topics(kafka, {topic: 1})
    options = ["--count", "60", "--users", "7", "--rate", "60", "--source", "me"]
    code, summary, _ = await run(USER_ACTIVITY, *options)
    assert code == 0
    assert summary["seconds"] >= 0.85
    records = await read_all(kafka, topic)
    assert len(records) == 60
    assert len({record.key for record in records}) == 7
    assert {json.loads(record.value)["source"] for record in records} == {"me"}


async def test_a_pipe_is_published_as_it_comes_in(kafka, topic, command):
    """An event goes out while the pipe stays open; Ctrl-C ends it and says where."""
    process = command(AUTH_REGISTERED, "-", "--json")
    process.stdin.write(line(1) + "\n" + line(2) + "\n")
    process.stdin.flush()
    await eventually_there(kafka, topic, [1, 2])
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, None, 30)
    assert process.returncode == 1
    assert json.loads(out)["acknowledged"] == 2
    assert "Interrupted. Kafka has 2 events; go on with --from-line 3." in err


async def eventually_there(kafka, topic, expected):
    async def there():
        return await users(kafka, topic) == expected

    await eventually(there, timeout_s=30)


async def test_ctrl_c_tells_exactly_how_far_it_came(kafka, topic, command, run, tmp_path):
    """Interrupted in the middle and resumed from the line it names: every event once."""
    file = tmp_path / "users.ndjson"
    file.write_text("\n".join(line(n) for n in range(4000)))
    process = command(AUTH_REGISTERED, str(file), "--rate", "200", "--json")

    async def some():
        return len(await read_all(kafka, topic)) > 100

    await eventually(some, timeout_s=30)
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.to_thread(process.communicate, None, 30)
    summary = json.loads(out)
    assert process.returncode == 1
    assert 100 < summary["acknowledged"] < 4000
    code, _, _ = await run(
        AUTH_REGISTERED, str(file), "--from-line", str(summary["resume_from_line"])
    )
    assert code == 0
    assert await users(kafka, topic) == list(range(4000))


async def test_says_what_it_got_done_when_the_broker_dies(own_broker, namespace, command):
    """Exit 1, how many are acknowledged and where to go on; what it says is what is there."""
    broker = own_broker()
    broker.start()
    topic = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(broker.bootstrap_servers, {topic: 3})
    process = command(
        *(AUTH_REGISTERED, "--count", "100000", "--rate", "2000", "--json"),
        bootstrap=broker.bootstrap_servers,
        TRUNKLINE_PUBLISH_TIMEOUT_S="5",
    )

    async def some():
        return len(await read_all(broker.bootstrap_servers, topic)) > 500

    await eventually(some, timeout_s=30)
    broker.kill()
    out, err = await asyncio.to_thread(process.communicate, None, 30)
    assert process.returncode == 1
    assert "go on with --from-line" in err
    assert "Traceback" not in err
    summary = json.loads(out)
    await asyncio.to_thread(broker.start)
    there = await users(broker.bootstrap_servers, topic)
    assert summary["acknowledged"] > 0
    # The chunks on their way when the broker died may be there without an acknowledgement.
    assert 0 <= len(there) - summary["acknowledged"] <= 2 * 200


async def test_a_broker_that_is_away_is_a_clear_error(run):
    """Exit 1, the address, what to do, and that nothing was published."""
    code, _, err = await run(AUTH_REGISTERED, "--count", "5", bootstrap="127.0.0.1:1")
    assert code == 1
    assert "Kafka at 127.0.0.1:1 does not answer: connection refused" in err
    assert "Nothing was published." in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["auth.registred", "--count", "1"], "Did you mean 'auth.registered'?"),
        ([AUTH_REGISTERED], "Say what to publish"),
        ([AUTH_REGISTERED, "no-such-file"], "does not exist"),
        ([AUTH_REGISTERED, "--event", "{}", "--count", "1"], "one of them"),
        ([AUTH_REGISTERED, "--event", "{}", "--users", "1"], "--users belongs to --count"),
        ([AUTH_REGISTERED, "--event", "{"], "line 1: $: Input data was truncated"),
    ],
)
async def test_mistakes_are_explained(topic, run, args, message):
    """Exit 2 and what to do, without a traceback."""
    code, _, err = await run(*args)
    assert code == 2
    assert message.lower() in err.lower()
    assert "Traceback" not in err
