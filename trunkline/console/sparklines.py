"""Small charts without axes, drawn on the server as SVG: they need no script."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 96, 20


def sparkline(values: Sequence[float | None], label: str) -> Markup:
    """Return a line through values at even distances, the oldest first.

    Args:
        values: None where nothing is known.
        label: What it shows, for those who cannot see it.

    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    top = max(*known, 1e-9)
    step = _WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{i * step:.1f},{_HEIGHT - 1 - (value / top) * (_HEIGHT - 2):.1f}"
        for i, value in enumerate(values)
        if value is not None
    )
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}" '
        'preserveAspectRatio="none"><polyline points="{}"/></svg>'
    ).format(label, _WIDTH, _HEIGHT, _WIDTH, _HEIGHT, points)
