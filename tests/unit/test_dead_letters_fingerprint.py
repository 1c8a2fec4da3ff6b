"""Dead letters of one cause share a fingerprint, and others do not."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.dead_letters import SPRING, TRACEBACK, dead_letter, trunkline_headers
from trunkline.dead_letters.filters import parse_filter
from trunkline.dead_letters.fingerprint import Fingerprint, fingerprint_of, raising_place
from trunkline.delivery.decode import decoder_for, explain
from trunkline.topology import Topology

#: Raised in a library: who called it is told.
LIBRARY = """Traceback (most recent call last):
  File "/a/tables/users.py", line 3, in add
  File "/x/.venv/lib/python3.11/site-packages/aiosqlite/core.py", line 1, in run
E: x"""
#: Nobody's own: neither the rails nor a cause of another traceback is meant.
INSTALLED = """Traceback (most recent call last):
  File "/a/b/cause.py", line 1, in first
E: x
Traceback (most recent call last):
  File "/a/trunkline/delivery/chain.py", line 3, in each
  File "/x/site-packages/handlers/users.py", line 1, in add
E: x"""


def of(namespace: str = "", **changes: object) -> Fingerprint:
    return fingerprint_of(dead_letter(trunkline_headers(**changes)), Topology(namespace))


def test_is_the_same_for_ever():
    """It is stored in the index and typed by people: it must not change with a release."""
    fingerprint = of()

    assert fingerprint == (
        "order.created",
        "engine-group",
        "builtins.ValueError",
        "agents/engine.py:add_up",
    )
    assert fingerprint.digest == "a86cb1750858"


@pytest.mark.parametrize(
    "change",
    [
        {"message": "o-2"},
        {"place": (0, 1, 5)},
        {"redrives": 2},
        {"stacktrace": TRACEBACK.replace("line 31", "line 77")},
        {"stacktrace": TRACEBACK.replace("/srv/app", "/home/ada/work")},
        {"stacktrace": TRACEBACK.replace("/", "\\").replace("\\srv", "C:\\srv")},
    ],
)
def test_ignores_what_differs_between_events_and_machines(change):
    """Message, offsets, line numbers and folders."""
    assert of(**change).digest == of().digest


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "auth.registered"},
        {"group": "db-server-group"},
        {"exception": "builtins.KeyError"},
        {"stacktrace": TRACEBACK.replace("add_up", "store")},
    ],
)
def test_tells_causes_apart(change):
    """Topic, group, exception and place."""
    assert of(**change).digest != of().digest


def test_is_the_same_in_every_namespace():
    """The names are those of the declaration."""
    assert of("blue", topic="blue.order.created", group="blue.engine-group") == of()


def test_parts_do_not_run_together():
    """``a`` + ``bc`` is not ``ab`` + ``c``."""
    assert Fingerprint("a", "bc", "", "").digest != Fingerprint("ab", "c", "", "").digest


@pytest.mark.parametrize(
    ("stacktrace", "place"),
    [
        ("", ""),
        ("no frame at all", ""),
        (
            '  File "/x/.venv/lib/python3.11/site-packages/sqlalchemy/pool.py", line 1, in get',
            "sqlalchemy/pool.py:get",
        ),
        (
            '  File "/usr/lib/python3.12/json/decoder.py", line 3, in decode',
            "json/decoder.py:decode",
        ),
        ('  File "<string>", line 1, in <module>', "<string>:<module>"),
        (
            '  + Exception Group:\n  |   File "/a/b/c.py", line 9, in run\n  |     boom()',
            "b/c.py:run",
        ),
        (
            '  File "/a/cause.py", line 1, in first\nError\n  File "/a/late.py", line 2, in last',
            "a/late.py:last",
        ),
        (LIBRARY, "tables/users.py:add"),
        (INSTALLED, "handlers/users.py:add"),
        (
            "a.B: x\n\tat java.base/java.util.HashMap.get(HashMap.java:10)\n\tat a.C.d(C.java:5)",
            "HashMap.java:java.util.HashMap.get",
        ),
        ("x\n\tat a.B$$Lambda$14/0x00007f.apply(Unknown Source)", "Unknown Source:a.B.apply"),
        ("x\n\tat a.B.lambda$run$12(B.java:5)", "B.java:a.B.lambda$run"),
        ("x\n\tat a.B$1.<init>(B.java)", "B.java:a.B.<init>"),
        ("x\n\tat a.B.c(B.java:1)\nCaused by: y\n\t... 3 more", "B.java:a.B.c"),
    ],
)
def test_finds_the_raising_place(stacktrace, place):
    """Python's innermost frame comes last, Java's first behind the last cause."""
    assert raising_place(dead_letter(trunkline_headers(stacktrace=stacktrace))) == place


def test_finds_spring_s_place():
    """The cause's frame, without the proxy that Spring made."""
    assert raising_place(dead_letter(SPRING)) == "Stock.java:com.shop.Stock.take"


def of_invalid(message):
    return of(kind="invalid", stacktrace="", message=message)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (
            "$.items[3].price: Expected `int`, got `str`",
            "$.items[...].price: expected int, got str",
        ),
        ("$: Object missing required field `userId`", "$: userId is missing"),
        ("$.age: Expected `int` >= 18", "$.age: disallowed int"),
        ("$.name: Expected `str` matching regex '^[a-z]: '", "$.name: disallowed str"),
        ("$.state: Invalid enum value 'secret'", "$.state: unknown choice"),
        ("$: Object contains unknown field `secret`", "$: unknown field"),
        ("$: JSON is malformed: invalid character (byte 17)", "$: malformed JSON"),
        ("$: Input data was truncated", "$: truncated JSON"),
        ("$: the value is null; this topic takes JSON objects", "$: null"),
        ("key: the key b'secret' is not UTF-8: invalid start byte", "key: not UTF-8"),
        ("$: 'utf-8' codec can't decode byte 0xff in position 0: secret", "$: not UTF-8"),
        ("$.email: secret is no address", "$.email"),
        ("$", "$"),
        ("", ""),
    ],
)
def test_the_place_of_an_invalid_event_is_its_field_and_mistake(message, place):
    """Whichever item of a list it is in; no value of the event is part of it."""
    assert of_invalid(message).place == place
    assert "secret" not in place


def test_the_mistakes_are_those_that_our_decoders_tell():
    """Three events of a topic that are wrong in three ways are three causes."""
    model = Topology().topic("auth.registered").model
    places = set()
    for value in (b'{"userId": 1, "email": "a@b.c"}', b'{"userId": "1', b"{}", b"[]", b"{]"):
        try:
            decoder_for(model)(value)
        except msgspec.MsgspecError as error:
            places.add(of_invalid(str(explain(error, value))).place)
    assert places == {
        "$.userId: expected str, got int",
        "$: truncated JSON",
        "$: userId is missing",
        "$: expected object, got array",
        "$: malformed JSON",
    }


def test_former_fingerprints_of_invalid_events_still_find_them():
    """Those of an index that was made before, and in people's notes: the field alone."""
    letter = dead_letter(
        trunkline_headers(kind="invalid", stacktrace="", message="$.a: Expected `int`, got `str`")
    )
    now = fingerprint_of(letter, Topology())
    former = Fingerprint(*now[:3], "$.a")
    assert now.former == former != now
    for digest in (now.digest, former.digest, former.digest[:6]):
        wanted = parse_filter(Topology(), 0, fingerprints=[digest])
        assert wanted.matches(letter, now, Topology())
    assert not parse_filter(Topology(), 0, fingerprints=["000000"]).matches(letter, now, Topology())
    assert of().former == of()


def test_without_an_origin_the_topic_is_that_of_the_dead_letters():
    """``dlq.`` and the namespace are taken off."""
    letter = dead_letter([], topic="blue.dlq.order.created")

    assert fingerprint_of(letter, Topology("blue")).topic == "order.created"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["\n" * 1_000_000, " " * 1_000_000, "/" * 1_000_000, "\tat " + "$$" * 500_000, "|" * 1_000_000],
    ids=["lines", "blanks", "slashes", "dollars", "bars"],
)
def test_a_hostile_stack_trace_costs_no_time(text):
    """No pattern goes over a long text again and again: that would take hours."""
    assert raising_place(dead_letter(trunkline_headers(stacktrace=text))) == ""
