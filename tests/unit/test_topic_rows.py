"""Records of anybody as the topic pages show them: harmless, masked, cut, explained."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from trunkline.console.context import ConsoleContext
from trunkline.console.pages.topics.rows import record_row, whole_record
from trunkline.settings import load_settings
from trunkline.system.brokers import BrokersView
from trunkline.system.flow import Flow
from trunkline.topology import Topology
from trunkline.web.safety.access import Access


def context(**settings):
    told = load_settings(**settings)
    return ConsoleContext(told, Topology(), Access(told))


def record(value, key=b"k", headers=()):
    return SimpleNamespace(
        topic="auth.registered", partition=1, offset=7, timestamp=1_000, timestamp_type=0,
        key=key, value=value, headers=tuple(headers),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b'{"a": 1}', "json"),
        (b"[1]", "json"),
        (b"{cut off", "text"),
        (b"plain", "text"),
        (b"", "text"),
        (b"\xff\x00", "binary"),
        ("é".encode() * 3000, "text"),
        (b"x" * 3000 + b"\xff", "binary"),
        (b"[" * 100_000, "json"),
        (b"[" * 10_000, "text"),
        (None, "null"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_every_value_has_a_row(value, kind):
    """Whatever it is; its preview is short."""
    row = record_row(context(), record(value))
    assert row.kind == kind
    assert len(row.value or "") <= 300
    assert row.size_bytes == len(value or b"")


def test_marks_that_turn_text_around_are_shown():
    """As are control characters and line breaks: a row is one line that can only be read."""
    evil = "a\u202eb\u2066c\x1b[31m\x00\r\nd\u200be\ud7ff"
    row = record_row(context(), record(evil.encode(), key=evil.encode()))
    for text in (row.value, row.key):
        assert text.isprintable()
        assert "\\u202e" in text
        assert "\\x1b" in text


def test_payloads_are_masked_in_rows_and_in_full():
    """Header values too; the size stays that of the whole."""
    masking = context(mask_fields="email")
    raw = json.dumps({"userId": "1", "email": "ada@example.com"}).encode()
    found = record(raw, headers=[("email", b"ada@example.com"), ("x", b"1")])
    shown = [str(record_row(masking, found)), str(whole_record(masking, found))]
    assert all("ada@example.com" not in text for text in shown)
    assert record_row(masking, found).size_bytes == len(raw)


def test_a_huge_value_is_cut():
    """A page does not carry a megabyte."""
    whole = whole_record(context(), record(b"x" * 1_000_000))
    assert whole.content.value.truncated
    assert len(whole.content.value.text) < 100_000


def test_headers_are_explained():
    """Those of KIP-1034 and ours; foreign ones are shown as they are, also without a value."""
    headers = [
        ("__streams.errors.exception", b"ValueError"),
        ("trunkline.attempts", b"4"),
        ("<b>", b"\xff"),
        ("none", None),
    ]
    rows = whole_record(context(), record(b"", headers=headers)).headers
    assert "KIP-1034" in rows[0].meaning
    assert rows[1].meaning == "how many attempts failed"
    assert (rows[2].value, rows[2].meaning) == ("0xff", "")
    assert rows[3].value is None


def view(at_s, **ends):
    return BrokersView(at_s=at_s, ends={(t, p): e for t, by in ends.items() for p, e in by.items()})


def test_rates_are_the_growth_between_readings():
    """Per topic and partition; nothing is known before the second reading."""
    flow = Flow()
    flow.note(view(100.0, a={0: 10, 1: 0}))
    assert flow.per_s("a") is None
    flow.note(view(110.0, a={0: 30, 1: 5}, b={0: 7}))
    assert flow.per_s("a") == 2.5
    assert flow.per_s("a", 1) == 0.5
    assert flow.per_s("b") == 0.0, "it was not there before: how fast it grew is not known"
    assert flow.series("a") == ([110.0], [2.5])


def test_a_topic_that_was_made_anew_has_no_negative_rate():
    """Its end went back."""
    flow = Flow()
    flow.note(view(100.0, a={0: 1000}))
    flow.note(view(105.0, a={0: 1}))
    assert flow.per_s("a") == 0.0


def test_a_failed_reading_changes_nothing():
    """The brokers being away is no standstill."""
    flow = Flow()
    flow.note(view(100.0, a={0: 0}))
    flow.note(BrokersView(at_s=100.0, error="away"))
    flow.note(view(110.0, a={0: 10}))
    assert flow.per_s("a") == 1.0
