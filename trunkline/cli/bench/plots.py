"""Bars of a benchmark's rows, as SVG that stands alone: no script, no font, nothing to fetch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.errors import TrunklineError

Row = dict[str, Any]

_WIDTH = 900
_BAR_PX = 22
_FRAME_PX = 110
_OURS = ("#0b6e99", "#5aa9c7", "#9fd0e3")
_VALUES_BEHIND_THE_BARS = "inline:{{ id }}.text-overlay .value { text-anchor: start; }"
_OTHERS = ("#9a9a9a", "#bdbdbd", "#dcdcdc")


@dataclass(frozen=True)
class Plot:
    """What of a benchmark's rows is drawn.

    Attributes:
        title: Above it, with the unit, and which way is better.
        values: Names of the figures that each row has, a bar each.
        label: Name of the field that says whose bar it is.

    """

    title: str
    values: tuple[str, ...]
    label: str = "contestant"

    def svg(self, rows: Sequence[Row]) -> str:
        """Return the picture: a row without a figure, or one that lost events, has no bar."""
        import pygal  # noqa: PLC0415  # for those who draw
        from pygal.style import Style  # noqa: PLC0415

        # From the bottom up, as the bars are drawn.
        shown = list(reversed(rows))
        given = [row[name] for row in shown for name in self.values if _is_drawn(row, name)]
        chart = pygal.HorizontalBar(
            width=_WIDTH,
            height=_FRAME_PX + _BAR_PX * len(rows) * len(self.values),
            title=self.title,
            # Never logarithmic: bars are compared by their lengths.
            range=(0, max(given, default=1) * 1.1),
            show_legend=len(self.values) > 1,
            legend_at_bottom=True,
            truncate_label=-1,
            show_x_labels=False,  # pygal turns its axes: these are the figures, which every bar has
            print_values=True,
            print_values_position="top",
            value_formatter=_shown,
            js=(),
            css=["file://style.css", "file://graph.css", _VALUES_BEHIND_THE_BARS],
            disable_xml_declaration=True,
            style=Style(
                background="#ffffff",
                plot_background="#ffffff",
                font_family="sans-serif",
                title_font_size=15,
                label_font_size=11,
                major_label_font_size=11,
                value_font_size=11,
                legend_font_size=11,
                guide_stroke_color="#e0e0e0",
                major_guide_stroke_color="#d0d0d0",
                guide_stroke_dasharray="0",
                major_guide_stroke_dasharray="0",
                # Values are added from the last to the first, as the bars are drawn.
                colors=tuple(reversed(_OURS[: len(self.values)])),
            ),
        )
        chart.add_xml_filter(_without_scripts)
        chart.x_labels = [str(row[self.label]) for row in shown]
        for index, name in reversed(list(enumerate(self.values))):
            chart.add(name, [_bar(row, name, index) for row in shown])
        picture: str = chart.render(is_unicode=True)
        return picture


def require_pygal() -> None:
    """Make sure that plots can be drawn.

    Raises:
        TrunklineError: pygal is not installed.

    """
    if importlib.util.find_spec("pygal") is None:
        raise TrunklineError(
            "--out draws plots, for which pygal is missing: run scripts/install, or "
            "pip install pygal."
        )


def _without_scripts(svg: Any) -> Any:
    for parent in svg.iter():
        for child in [one for one in parent if one.tag == "script"]:
            parent.remove(child)
    return svg


def _is_drawn(row: Row, name: str) -> bool:
    return bool(row.get(name)) and not row.get("lost")


def _bar(row: Row, name: str, index: int) -> dict[str, object] | None:
    if not _is_drawn(row, name):
        return None
    colors = _OURS if "trunkline" in str(row.get("contestant", "")) else _OTHERS
    return {"value": row[name], "color": colors[index % len(colors)]}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
