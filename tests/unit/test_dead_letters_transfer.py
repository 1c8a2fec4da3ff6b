"""Exported lines come back without the loss of a byte, and do nothing to a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dead_letters import (
    CONNECT,
    SHARE_GROUP,
    SPRING,
    STREAMS,
    dead_letter,
    trunkline_headers,
)
from trunkline.dead_letters.actions import Action
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.reading import DeadLetter
from trunkline.dead_letters.scan import Found
from trunkline.dead_letters.transfer import export_line, import_line
from trunkline.errors import ConfigurationError
from trunkline.topology import Topology

_OWN = st.lists(st.tuples(st.sampled_from(["a", "b", "é\x1b"]), st.none() | st.binary()))
_ERRORS = st.sampled_from(
    [[], trunkline_headers(redrives=2), SPRING, CONNECT, SHARE_GROUP, STREAMS]
)


def exported(letter: DeadLetter) -> str:
    return export_line(Found(letter, fingerprint_of(letter, Topology()), None))


@given(_OWN, _ERRORS, st.none() | st.binary(), st.none() | st.binary() | st.text().map(str.encode))
def test_comes_back_as_it_was(own, errors, key, value):
    """Keys, values and headers that are no text, or none at all, from every writer."""
    letter = dead_letter([*own, *errors], key=key, value=value)

    line = exported(letter)

    assert import_line(line.encode(), 1) == (letter, letter.id)


@given(st.binary(), st.text())
def test_a_line_is_printable(value, message):
    """Whatever others wrote: one line of ASCII without control characters."""
    letter = dead_letter(trunkline_headers(message=message.encode(errors="replace").decode()))

    line = exported(letter) + exported(dead_letter(value=value))

    assert line.isascii()
    assert line.isprintable()


def test_a_masked_line_is_not_taken_back():
    """Its group would handle the masks."""
    found = Found(dead_letter(), fingerprint_of(dead_letter(), Topology()), None)

    with pytest.raises(ConfigurationError, match="Line 3 has masks"):
        import_line(export_line(found, masked=True).encode(), 3)


def test_says_what_was_done():
    """The action, the fingerprint and the place are told; they are not read back."""
    letter = dead_letter()
    action = Action("redriven", 5, letter.timestamp_ms, "engine-group.failures", "ada@host", "r")

    line = export_line(Found(letter, fingerprint_of(letter, Topology()), action))

    assert json.loads(line)["action"]["to"] == "engine-group.failures"
    assert json.loads(line)["place"] == "agents/engine.py:add_up"
    assert import_line(line.encode(), 1)[0] == letter


def test_a_line_without_an_id_is_known_by_its_content():
    """The same line is the same, another one is another."""
    line = json.dumps({**json.loads(exported(dead_letter())), "id": None}).encode()

    letter, key = import_line(line, 1)

    assert letter.value == dead_letter().value
    assert key.startswith("line:")
    assert import_line(line + b"\n", 2)[1] == key
    assert import_line(line.replace(b"o-1", b"o-2"), 2)[1] != key


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"id": 7}',
        b'{"id": "nonsense"}',
        b'{"value": {"base64": "***"}}',
        b'{"value": {"base64": "AA==", "x": 1}}',
        b'{"value": "\\ud800"}',
        b'{"headers": [["a"]]}',
        b'{"origin": {"topic": "t"}}',
        b'{"redrives": "1"}',
        b"\xff",
    ],
)
def test_a_wrong_line_is_named(line):
    """Its number, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match="Line 12"):
        import_line(line, 12)


@given(st.binary())
def test_any_line_is_a_letter_or_a_clear_error(line):
    """Nothing else is raised."""
    try:
        import_line(line, 1)
    except ConfigurationError:
        return
