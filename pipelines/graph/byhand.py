"""Where the boxes of a scope stand that somebody has arranged by hand.

Boxes stand where they were put; those that came later stand under what leads to them, where there is room.
"""

from collections.abc import Mapping

from pipelines.graph.geometry import GAP_X, GAP_Y, MARGIN, Box, Point, port_offset
from pipelines.graph.model import Graph, Json

FARTHEST = 100_000  # pixels; a box beyond it could not be found again


def pins_of(ui: Json) -> dict[str, Point]:
    """Return the positions of a raw document's `ui`, by dotted place; whatever is no position is left out."""
    found = ui.get("positions") if isinstance(ui, dict) else None
    return {place: (at[0], at[1]) for place, at in found.items() if _is_point(at)} if isinstance(found, dict) else {}


def _is_point(value: Json) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(part, int) and not isinstance(part, bool) and abs(part) <= FARTHEST for part in value)
    )


class ByHand:
    """One scope, laid out: reads off where each box stands and how each edge bends."""

    def __init__(self, graph: Graph, sizes: Mapping[str, Point], pins: Mapping[str, Point]) -> None:
        self._graph = graph
        self._boxes = {name: Box(*pins[name], *sizes[name]) for name in graph.nodes if name in pins}
        for name in graph.order:
            if name not in self._boxes:
                self._boxes[name] = self._room_for(name, sizes[name])

    @property
    def left(self) -> int:
        return min(box.x for box in self._boxes.values()) - MARGIN

    @property
    def top(self) -> int:
        return min(box.y for box in self._boxes.values()) - MARGIN

    @property
    def width(self) -> int:
        return max(box.x + box.w for box in self._boxes.values()) + MARGIN - self.left

    @property
    def height(self) -> int:
        return max(box.y + box.h for box in self._boxes.values()) + MARGIN - self.top

    def box(self, name: str) -> Box:
        return self._boxes[name]

    def points(self, index: int) -> tuple[Point, ...]:
        """Return the corners of an edge: half-way between the boxes where the target is below, else around them."""
        edge = self._graph.edges[index]
        start, end = self._boxes[edge.source], self._boxes[edge.target]
        out = (start.x + port_offset(self._graph.nodes[edge.source], edge.port, start.w), start.y + start.h)
        into = (end.x + end.w // 2, end.y)
        return elbow(out, into, max(start.x + start.w, end.x + end.w))

    def _room_for(self, name: str, size: Point) -> Box:
        """Return a free spot under the lowest of the boxes that lead here, or beside all where none does."""
        before = [self._boxes[self._graph.edges[index].source] for index in self._graph.ins[name]]
        if before:
            lowest = max(before, key=lambda box: box.y + box.h)
            box = Box(lowest.x + (lowest.w - size[0]) // 2, lowest.y + lowest.h + GAP_Y, *size)
        else:
            right = max((box.x + box.w for box in self._boxes.values()), default=-GAP_X) + GAP_X
            box = Box(right, min((box.y for box in self._boxes.values()), default=MARGIN), *size)
        while any(box.touches(other, GAP_X // 2) for other in self._boxes.values()):
            box = Box(box.x + size[0] + GAP_X, box.y, *size)
        return box


def elbow(out: Point, into: Point, right: int) -> tuple[Point, ...]:
    """Return the corners of an orthogonal line that leaves downwards and arrives from above.

    `right` is the right side of both boxes: a target that is not below is reached around it.
    """
    (x1, y1), (x2, y2) = out, into
    if y2 >= y1 + GAP_Y // 2:
        middle = (y1 + y2) // 2
        return (out, into) if x1 == x2 else (out, (x1, middle), (x2, middle), into)
    aside, drop, rise = right + GAP_X // 2, y1 + GAP_Y // 3, y2 - GAP_Y // 3
    return (out, (x1, drop), (aside, drop), (aside, rise), (x2, rise), into)
