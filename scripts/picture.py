#!/usr/bin/env python3
"""Make an SVG picture of what a command prints, for the documentation.

FORCE_COLOR=1 trunkline verify | scripts/picture.py "trunkline verify" docs/images/verify.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

#: rich's picture asks a CDN for its font; the reader's own monospace font will do.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(output: str, title: str) -> str:
    """Return the picture of a command's output.

    Args:
        output: What it printed, with ANSI colours.
        title: The command, as the window's title.

    """
    lines = [Text.from_ansi(line) for line in output.rstrip("\n").split("\n")]
    width = max(line.cell_len for line in lines)
    console = Console(record=True, width=width, file=io.StringIO())
    for line in lines:
        line.rstrip()
        console.print(line)
    return _FONTS.sub("", console.export_svg(title=title, unique_id="trunkline"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[2]).write_text(picture(sys.stdin.read(), sys.argv[1]) + "\n", "utf-8")
