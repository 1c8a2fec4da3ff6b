"""What others wrote cannot do anything to a terminal."""

from __future__ import annotations

import base64
import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.cli.escaping import harmless, short, shown_bytes, to_json
from trunkline.retries.report import bytes_to_json


def controls(text, allowed=""):
    """Return what is not plain to see: control and format characters, surrogates."""
    return [c for c in text if unicodedata.category(c)[0] == "C" and c not in allowed]


@given(st.text(st.characters()), st.booleans())
def test_no_control_character_is_left(text, lines):
    """Whatever the text is."""
    assert not controls(harmless(text, lines=lines), "\n\t" if lines else "")


@given(st.binary(), st.booleans())
def test_no_bytes_become_a_control_character(raw, lines):
    """UTF-8 or not."""
    assert not controls(shown_bytes(raw, lines=lines), "\n\t" if lines else "")


@given(st.text(st.characters()), st.integers(1, 50))
def test_a_short_text_is_one_line(text, width):
    """Of at most so many characters."""
    line = short(text, width)
    assert len(line) <= width
    assert not controls(line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ünïcödé and 漢字", "plain, with ünïcödé and 漢字"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("a\r\nb", "a\\r\\nb"),
        ("\ud800", "\\ud800"),
    ],
)
def test_escapes_can_be_read(text, shown):
    """As Python writes them."""
    assert harmless(text) == shown


def test_lines_stay_where_they_are_wanted():
    """Line feeds and tabs, but no carriage return: it would write over the line."""
    assert harmless("a\n\tb\rc", lines=True) == "a\n\tb\\rc"


def test_bytes_that_are_no_text_are_shown_in_digits():
    """Hexadecimal, and base64 when there are many."""
    assert shown_bytes(b"\xff\x00") == "0xff00"
    raw = b"\xff" * 300
    assert shown_bytes(raw) == "base64:" + base64.b64encode(raw).decode()


@example("\x7f\x9b\u202e")
@given(st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_is_printable_and_reads_the_same(value):
    """ASCII only, and nothing that moves a cursor."""
    text = to_json(value)
    assert text.isascii()
    assert not controls(text, "\n")
    assert json.loads(text) == value


@given(st.none() | st.binary())
def test_bytes_survive_json(raw):
    """As text where they are text."""
    found = bytes_to_json(raw)
    if found is None:
        assert raw is None
    elif "text" in found:
        assert found["text"].encode() == raw
    else:
        assert base64.b64decode(found["base64"]) == raw
