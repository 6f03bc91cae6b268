"""Boxes, lines and the measures of a picture. Integers only, in one coordinate system whose y goes down."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.graph.model import Node

WIDTH = 180
HEIGHT = 84
GAP_X = 36
GAP_Y = 56
MARGIN = 24
HEADER = 48

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    x: int
    y: int
    w: int
    h: int

    def touches(self, other: "Box", gap: int = 0) -> bool:
        """Tell whether two boxes overlap or come nearer than the gap."""
        beside = self.x + self.w + gap <= other.x or other.x + other.w + gap <= self.x
        return not (beside or self.y + self.h + gap <= other.y or other.y + other.h + gap <= self.y)


@dataclass(frozen=True, slots=True)
class Line:
    """An edge between two places as the corners of an orthogonal line, from the source down to the target."""

    source: str
    port: str
    target: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by dotted place. `left` and `top` are where the picture begins: not 0 where boxes were moved there."""

    nodes: Mapping[str, Box]
    edges: tuple[Line, ...]
    width: int
    height: int
    left: int = 0
    top: int = 0


def port_offset(node: Node, port: str, width: int) -> int:
    """Return how far from a box's left side a port stands on its lower border: ports are spread evenly."""
    ports = node.ports
    place = ports.index(port) if port in ports else 0
    return width * (place + 1) // (max(len(ports), 1) + 1)
