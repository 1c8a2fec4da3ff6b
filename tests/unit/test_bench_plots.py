"""The plots that ``trunkline bench --out`` draws."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from trunkline.cli.bench.plots import Plot

ROWS = [
    {"contestant": "kafkajs", "events_per_s": 1200, "lost": 0},
    {"contestant": "a <loser> & co", "events_per_s": 9_000_000, "lost": 3},
    {"contestant": "trunkline", "events_per_s": 800_000, "lost": 0},
    {"contestant": "never ended", "events_per_s": None, "lost": 0},
]


def texts(svg):
    return [text.text for text in ET.fromstring(svg).iter() if text.text]


def test_every_contestant_is_named_and_has_its_figure():
    """Who lost events, or has no figure, is named and has no bar."""
    found = texts(Plot("Events a second", ("events_per_s",)).svg(ROWS))
    assert {row["contestant"] for row in ROWS} <= set(found)
    assert {"1,200", "800,000", "Events a second"} <= set(found)
    assert "9,000,000" not in found


def test_the_picture_stands_alone():
    """It is shown where nothing can be fetched and no script runs."""
    svg = Plot("Events a second", ("events_per_s",)).svg(ROWS)
    assert "<script" not in svg
    assert not re.search(r'(href|src)="http', svg)


def test_rows_without_any_figure_can_be_drawn():
    """A benchmark in which all lost events is no reason to lose its other results."""
    assert "never ended" in texts(Plot("Nothing", ("events_per_s",)).svg(ROWS[3:]))
