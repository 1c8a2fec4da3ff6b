"""How the console writes orders, marked text and tables for narrow screens."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from trunkline.console.formats import labelled, marked, words


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("reads `read_committed`, `x`.", "reads <code>read_committed</code>, <code>x</code>."),
        ("<b> `<i>`", "&lt;b&gt; <code>&lt;i&gt;</code>"),
        ("(topic ``auth.registered``).", "(topic <code>auth.registered</code>)."),
        ("a ` alone & `one`", "a <code> alone &amp; </code>one`"),
        ("``", "``"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_backticks_are_code_and_all_is_escaped(text, html):
    """Also what stands in them, and one that is left over."""
    assert str(marked(text)) == html


def test_an_order_is_told_in_words():
    """No JSON, nothing empty, times as times, and nothing that acts on a page or terminal."""
    told = {
        "filter": {"fingerprints": ["9a65"], "keys": [], "since_ms": 0, "every": None},
        "rate": 50,
        "by": "x\u202e",
    }
    assert words(told) == (
        "rate: 50; by: x\\u202e; fingerprints: 9a65; since: 1970-01-01 00:00:00Z"
    )
    assert words({"filter": {"keys": []}}) == ""


def test_cells_know_their_heads():
    """In each row anew; a head is escaped, and cells without one have an empty label."""
    rows = Markup('<tr id="a"><th scope="row">x</th><td>1</td><td>2</td></tr><tr>\n<td>y</td></tr>')
    assert str(labelled(rows, ["<Name>", ("Lag", "num")])) == (
        '<tr id="a"><th data-label="&lt;Name&gt;" scope="row">x</th><td data-label="Lag">1</td>'
        '<td data-label="">2</td></tr><tr>\n<td data-label="&lt;Name&gt;">y</td></tr>'
    )
