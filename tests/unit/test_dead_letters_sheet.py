"""CSV of dead letters: read by a spreadsheet, and not run by it."""

from __future__ import annotations

import csv

import pytest

from tests.support.dead_letters import dead_letter
from trunkline.dead_letters.actions import Action
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.scan import Found
from trunkline.dead_letters.sheet import COLUMNS, sheet_head, sheet_line
from trunkline.topology import Topology


def row_of(letter, action=None):
    """Return what a reader gets of a dead letter."""
    found = Found(letter, fingerprint_of(letter, Topology()), action)
    [row] = csv.DictReader((sheet_head() + sheet_line(found)).splitlines(keepends=True))
    return row


def test_a_dead_letter_is_a_row():
    """Each column says what its name says."""
    row = row_of(dead_letter(), Action("redriven", 1, 1))
    assert list(row) == list(COLUMNS)
    assert row["id"] == "dlq.order.created[1]@17"
    assert (row["status"], row["group"], row["attempts"]) == ("redriven", "engine-group", "4")
    assert (row["origin"], row["key"]) == ("order.created[1]@42", "12345")
    assert row["value"] == '{"orderId":"o-1"}'


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "  +", "\uff1d"])
def test_a_cell_that_begins_like_a_formula_is_text(begin):
    """In every field that somebody else may have written."""
    text = f"{begin}cmd|'/c calc'!A1"
    row = row_of(dead_letter(key=text.encode(), value=text.encode()))
    assert row["key"] == f"'{text}"
    assert row["value"] == f"'{text}"


def test_separators_quotes_and_line_ends_stay_in_their_cell():
    """However the payload looks."""
    nasty = 'a,"b";c\r\nd\n"'
    assert row_of(dead_letter(value=nasty.encode()))["value"] == nasty


def test_bytes_and_length_are_made_to_fit():
    """Binary is hexadecimal, NUL is replaced, what is long is cut."""
    assert row_of(dead_letter(value=b"\xff\x00"))["value"] == "0xff00"
    assert row_of(dead_letter(value=b"a\0b"))["value"] == "a\ufffdb"
    assert row_of(dead_letter(value=None))["value"] == ""
    long = row_of(dead_letter(value=b"x" * 40_000))["value"]
    assert (len(long), long[-1]) == (32_001, "…")
