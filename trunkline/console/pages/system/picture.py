"""Places for the nodes and lines of the topology's picture: plain geometry, drawn as SVG."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.console.pages.system.flows import HEADINGS, Edge, Flows, Node

_WIDTH, _HEIGHT = 215, 52
_COLUMN_GAP, _ROW_GAP = 76, 18
_MARGIN, _HEADING = 10, 34
#: Lines end this far from each other, for their labels.
_PORT = 15


@dataclass(frozen=True)
class Box:
    """A node in its place."""

    node: Node
    x: float
    y: float
    height: float
    width: float = _WIDTH


@dataclass(frozen=True)
class Line:
    """An edge in its place: an SVG path, its width, and where its label stands."""

    edge: Edge
    path: str
    width: float
    label_x: float
    label_y: float


@dataclass(frozen=True)
class Heading:
    """What stands above a column."""

    text: str
    x: float
    y: float = 20


@dataclass(frozen=True)
class Picture:
    """All of it, and how large."""

    boxes: list[Box]
    lines: list[Line]
    headings: list[Heading]
    width: float
    height: float


def draw(flows: Flows) -> Picture:
    """Put a graph into columns, each node near the middle of what flows into it."""
    incoming: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in flows.edges:
        incoming[edge.target].append(edge)
    boxes: dict[str, Box] = {}
    columns = sorted({node.column for node in flows.nodes})
    for index, column in enumerate(columns):
        nodes = [node for node in flows.nodes if node.column == column]
        x = _MARGIN + index * (_WIDTH + _COLUMN_GAP)
        boxes |= _column(nodes, x, incoming, boxes)
    lines = [line for target, edges in incoming.items() for line in _lines(edges, target, boxes)]
    return Picture(
        boxes=list(boxes.values()),
        lines=lines,
        headings=[
            Heading(HEADINGS[column], _MARGIN + index * (_WIDTH + _COLUMN_GAP))
            for index, column in enumerate(columns)
        ],
        width=2 * _MARGIN + len(columns) * (_WIDTH + _COLUMN_GAP) - _COLUMN_GAP,
        height=max((box.y + box.height for box in boxes.values()), default=0) + _MARGIN,
    )


def _column(
    nodes: Sequence[Node],
    x: float,
    incoming: defaultdict[str, list[Edge]],
    placed: dict[str, Box],
) -> dict[str, Box]:
    def wished(node: Node) -> float:
        middles = [_middle(placed[e.source]) for e in incoming[node.id] if e.source in placed]
        return sum(middles) / len(middles) if middles else math.inf

    found: dict[str, Box] = {}
    y = float(_HEADING)
    for node in sorted(nodes, key=wished):
        height = max(_HEIGHT, (len(incoming[node.id]) + 1) * _PORT)
        wish = wished(node)
        if wish < math.inf:
            y = max(y, wish - height / 2)
        found[node.id] = Box(node, x, y, height)
        y += height + _ROW_GAP
    return found


def _middle(box: Box) -> float:
    return box.y + box.height / 2


def _lines(edges: Sequence[Edge], target: str, boxes: dict[str, Box]) -> list[Line]:
    """Return the lines into a node; they end below each other, in the order of their sources."""
    to = boxes.get(target)
    if to is None:
        return []
    known = sorted((e for e in edges if e.source in boxes), key=lambda e: boxes[e.source].y)
    lines = []
    for index, edge in enumerate(known):
        start = boxes[edge.source]
        x1, y1 = start.x + start.width, _middle(start)
        x2, y2 = to.x, to.y + to.height * (index + 1) / (len(known) + 1)
        bend = max(40.0, (x2 - x1) / 2)
        curve = f"{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
        path = f"M{x1:.0f},{y1:.0f} C{curve}"
        width = 1.2 + min(4.0, math.log10(1 + (edge.rate_per_s or 0)))
        lines.append(Line(edge, path, round(width, 1), x2 - 6, round(y2 - 4, 1)))
    return lines
