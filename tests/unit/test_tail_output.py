"""What ``trunkline tail`` shows of records, and which ones."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from trunkline.cli.records import Shown, print_record, record_to_line
from trunkline.tailing.matching import Matching, parse_keys
from trunkline.web.safety.masking import Masking


def record(key=b"7", value=b'{"a":1}', headers=(), timestamp=1_800_000_000_123):
    return SimpleNamespace(
        topic="t",
        partition=1,
        offset=42,
        timestamp=timestamp,
        key=key,
        value=value,
        headers=headers,
    )


def test_shows_a_record_on_a_line_and_its_headers_below(capsys):
    """Time, place, key, value; then each header."""
    print_record(record(headers=[("traceparent", b"00-1"), ("none", None)]))
    assert capsys.readouterr().out.splitlines() == [
        '2027-01-15 08:00:00.123Z  t[1]@42  7  {"a":1}',
        "    traceparent: 00-1",
        "    none: null",
    ]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        (b"a\nb\rc\td", r"a\nb\rc\td"),
        ("abc\u202etxt".encode(), r"abc\u202etxt"),
        (b"\xff\xfe\x00", "0xfffe00"),
        (b"\xff" * 300, "base64:"),
        (None, "null"),
    ],
)
def test_hostile_and_binary_content_is_harmless(capsys, raw, shown):
    """Escape sequences, line breaks, right-to-left marks, bytes: nothing acts on the terminal."""
    print_record(record(key=raw, value=raw, headers=[("x\x1b[2J", raw)]))
    out = capsys.readouterr().out
    assert shown in out
    assert out.count("\n") == 2
    assert out.isascii()
    assert "\x1b" not in out
    assert "\x07" not in out


def test_a_huge_value_is_cut_for_people_only(capsys):
    """It says how much there is; JSON has all of it."""
    huge = record(value=b"x" * 1_000_000)
    print_record(huge)
    out = capsys.readouterr().out
    assert len(out) < 11_000
    assert "(1,000,000 bytes; --json prints all)" in out
    assert len(json.loads(record_to_line(huge))["value"]) == 1_000_000


def test_json_has_every_byte_and_is_ascii():
    """Text where it is UTF-8, else base64; a timestamp of any size."""
    line = record_to_line(record(b"\xff", "ü\x1b".encode(), [("h", None)], timestamp=2**60))
    assert line.isascii()
    assert "\x1b" not in line
    assert json.loads(line) == {
        "topic": "t",
        "partition": 1,
        "offset": 42,
        "timestamp_ms": 2**60,
        "key": {"base64": "/w=="},
        "value": "ü\x1b",
        "headers": [["h", None]],
    }


def test_masked_fields_are_hidden_in_both_forms(capsys):
    """``TRUNKLINE_MASK_FIELDS``: in the payload at any depth, and as headers."""
    how = Shown(masking=Masking(["email", "x-token"]))
    secret = record(value=b'{"a":{"email":"ada"},"b":1}', headers=[("X-Token", b"tok")])
    print_record(secret, how)
    for out in (capsys.readouterr().out, record_to_line(secret, how)):
        assert "ada" not in out
        assert "tok" not in out.replace("X-Token", "")
        assert "b" in out


@pytest.mark.parametrize(
    ("matching", "taken"),
    [
        (Matching(), True),
        (Matching(parse_keys(["7"])), True),
        (Matching(parse_keys(["0x37"])), True),
        (Matching(parse_keys(["8", "0x3"])), False),
        (Matching(pattern=re.compile(r'"a":\d')), True),
        (Matching(pattern=re.compile("^7$")), True),
        (Matching(pattern=re.compile("trace: 00-1")), True),
        (Matching(pattern=re.compile("nothing")), False),
        (Matching(parse_keys(["8"]), re.compile("a")), False),
    ],
)
def test_takes_what_is_meant(matching, taken):
    """By key, as text or hexadecimal, and by what is found in key, value and headers."""
    assert matching.takes(record(headers=[("trace", b"00-1")])) is taken


def test_a_tombstone_without_a_key_can_be_matched():
    """Nothing stands in it, so nothing is found."""
    empty = record(None, None)
    assert Matching().takes(empty)
    assert not Matching(pattern=re.compile("a")).takes(empty)
