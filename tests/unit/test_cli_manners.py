"""Every command: help, typos, and a broker that is away end in words and the right exit code."""

from __future__ import annotations

import logging

import click
import pytest

from trunkline.cli import cli, main

#: Least arguments with which a command asks Kafka; others need none or never ask.
ASKS_KAFKA = {
    "dlq discard": ["--until", "0s", "--yes"],
    "dlq export": [],
    "dlq ls": [],
    "dlq redrive": ["--yes"],
    "dlq show": ["dlq.order.created[0]@0"],
    "drain": ["engine.1"],
    "pause": ["engine-group", "order.created"],
    "publish": ["order.created", "--count", "1"],
    "resume": ["engine-group", "order.created"],
    "retries discard": ["--all", "--yes"],
    "retries ls": [],
    "retries now": [],
    "retries show": ["order.created[0]@0"],
    "status": [],
    "tail": ["order.created"],
    "topics apply": [],
    "topics ls": [],
    "topics plan": [],
    "undrain": ["engine.1"],
    "up": [],
    "workers": [],
}
#: These run a broker or whole systems of their own, print what is known without one, or go on.
ASKS_NOBODY = {"asyncapi", "completion", "demo", "verify", "dlq import", "topics acls", "soak"}


def leaves(command, path=()):
    """Yield the words of every command that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*path, name))
    else:
        yield " ".join(path), command


def groups(command, path=()):
    if isinstance(command, click.Group):
        yield " ".join(path)
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from groups(command.get_command(context, name), (*path, name))


COMMANDS = dict(leaves(cli))


@pytest.fixture
def levels():
    """Give loggers their levels back: commands silence them for their process, which is ours."""
    loggers = [it for it in logging.root.manager.loggerDict.values() if hasattr(it, "level")]
    before = {logger: logger.level for logger in loggers}
    yield
    for logger in logging.root.manager.loggerDict.values():
        if hasattr(logger, "level"):
            logger.setLevel(before.get(logger, logging.NOTSET))


@pytest.fixture
def run(monkeypatch, capsys, levels):
    """Return a function that runs the command line: exit code, output, messages."""

    def run(*args):
        monkeypatch.setattr("sys.argv", ["trunkline", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself(run, words):
    """``-h`` prints what it does and every option, within 80 columns; each option has a help."""
    code, out, err = run(*words.split(), "-h")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: trunkline {words} ")
    command = COMMANDS[words]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in out
    options = out.partition("Options:")[2]
    assert max(map(len, options.splitlines())) <= 80


@pytest.mark.parametrize("words", COMMANDS)
def test_a_wrong_option_is_asked_wrongly(run, words):
    """Exit 2, the closest option, no traceback."""
    code, out, err = run(*words.split(), "--hlep")
    assert (code, out) == (2, "")
    assert "No such option: --hlep. Did you mean '--help'?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [*groups(cli)])
def test_a_wrong_command_is_asked_wrongly(run, words):
    """Exit 2; the closest command, or all of them."""
    known = [name.removeprefix(words).split()[0] for name in COMMANDS if name.startswith(words)]
    code, _, err = run(*words.split(), known[0] + "x")
    assert code == 2
    assert f"Did you mean {known[0]!r}?" in err
    code, _, err = run(*words.split(), "0000")
    assert code == 2
    assert f"Known: {', '.join(sorted(set(known)))}" in err or "bench" in words


def test_it_is_known_which_commands_ask_kafka():
    """A new command is put into one of the lists above."""
    known = set(ASKS_KAFKA) | ASKS_NOBODY
    left = {words for words in COMMANDS if words.split()[0] not in {"bench", "broker"}} - known
    assert not left


@pytest.mark.parametrize("words", ASKS_KAFKA)
def test_says_in_words_that_kafka_is_away(run, monkeypatch, words):
    """Exit 1 with one message that says where and what to do; nothing is printed as a result."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code, out, err = run(*words.split(), *ASKS_KAFKA[words])
    assert (code, out) == (1, "")
    assert "127.0.0.1:1" in err
    assert "trunkline broker start" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", ASKS_KAFKA)
def test_a_wrong_setting_is_named(run, monkeypatch, words):
    """Exit 2, before anything is asked."""
    monkeypatch.setenv("TRUNKLINE_NAMESPACE", "a b")
    code, out, err = run(*words.split(), *ASKS_KAFKA[words])
    assert (code, out) == (2, "")
    assert "TRUNKLINE_NAMESPACE='a b'" in err


@pytest.mark.parametrize(
    ("words", "closest"),
    [
        ("publish order.creatd --count 1", "order.created"),
        ("tail order.creatd", "order.created"),
        ("tail engine-group.failure", "engine-group.failures"),
        ("retries ls --topic order.creatd", "order.created"),
        ("retries ls --group engine-grp", "engine-group"),
        ("dlq ls --topic order.creatd", "order.created"),
        ("pause engine-grp order.created", "engine-group"),
        ("resume engine-group order.creatd[1]", "order.created"),
        ("workers --group engine-grp", "engine-group"),
        ("workers --service engin", "engine"),
    ],
)
def test_names_the_closest_topic_or_group(run, words, closest):
    """Exit 2, without asking Kafka."""
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert f"Did you mean {closest!r}?" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ta"], ["tail"]),
        (["tail", "order"], ["order.created"]),
        (["tail", "engine-group.f"], ["engine-group.failures"]),
        (["publish", "user."], ["user.notification.sent", "user.activity"]),
        (["retries", "ls", "--group", "eng"], ["engine-group"]),
        (["dlq", "ls", "--topic", "auth"], ["auth.registered"]),
        (["drain", "engine"], ["engine.1", "engine.2"]),
        (["pause", "engine-group", "order"], ["order.created"]),
        (["topics", ""], ["acls", "apply", "ls", "plan"]),
        (["tail", "--no-h"], ["--no-headers"]),
    ],
)
def test_completes_commands_options_and_names(run, monkeypatch, words, expected):
    """As bash asks, from the topology, although no broker is there."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TRUNKLINE_NAMESPACE", "shop")
    monkeypatch.setenv("_TRUNKLINE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["trunkline", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [line.removeprefix("plain,") for line in out.splitlines()] == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_prints_what_a_shell_needs(run, shell):
    """A script that asks ``trunkline`` by the variable that it listens to."""
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert f"_TRUNKLINE_COMPLETE={shell}_complete" in out
