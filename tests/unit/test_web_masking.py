"""Fields that are never shown."""

from __future__ import annotations

import json

import pytest

from trunkline.web.safety.masking import MASK, Masking

MASKING = Masking(["email", "Password"])


def masked(text):
    return MASKING.payload(text.encode()).decode()


def test_nothing_is_masked_unless_asked_for():
    """Without fields a payload stays as it is."""
    assert Masking([]).payload(b'{"email": "x"}') == b'{"email": "x"}'


def test_a_payload_without_such_fields_stays_byte_for_byte():
    """Spaces and the way numbers are written as well."""
    raw = b'{ "userId" : 12345678901234567890.10 }'
    assert MASKING.payload(raw) is raw


@pytest.mark.parametrize(
    "text",
    [
        '{"email": "secret"}',
        '{"EMAIL": "secret"}',
        '{"a": [{"b": {"Email": {"deep": "secret"}}}]}',
        '[{"password": ["secret", 1]}, {"password": "secret"}]',
        '{"\\u0065mail": "secret"}',
        '{"email": "x", "email": "secret"}',
        '{"email": "secret", "half": "\\ud800"}',
    ],
)
def test_fields_are_masked_at_any_depth(text):
    """By name, whatever its case, and however it is written."""
    shown = masked(text)
    assert "secret" not in shown
    assert MASK in shown
    json.loads(shown)


@pytest.mark.parametrize(
    "text",
    [
        '{"userId": "1", "email": "secret',
        "email=secret&x=1",
        '"email": secret}',
        "\ud7ffemail: secret",
    ],
)
def test_what_is_no_json_is_cut_where_a_name_stands(text):
    """Nobody can say where the value ends."""
    shown = masked(text)
    assert "secret" not in shown
    assert shown.endswith("(masked from here on: it is no JSON)")


def test_binary_is_cut_as_well():
    """Names are found in bytes."""
    assert b"secret" not in MASKING.payload(b"\xff\x00email\x06secret")
    assert MASKING.payload(b"\xff\x00mail") == b"\xff\x00mail"


def test_very_deep_json_is_masked_or_cut():
    """What cannot be read to its end is not shown."""
    deep = "[" * 100_000 + '{"email": "secret"}' + "]" * 100_000
    assert "secret" not in masked(deep)


def test_headers_are_masked_by_their_names():
    """Others stay."""
    headers = [("Email", b"secret"), ("traceparent", b"00-1")]
    assert MASKING.headers(headers) == [("Email", MASK.encode()), ("traceparent", b"00-1")]


def test_null_stays_null():
    """A tombstone has nothing to hide."""
    assert MASKING.payload(None) is None
