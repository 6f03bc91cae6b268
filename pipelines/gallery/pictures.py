"""Templates as pictures: tiny ones that run from left to right in the kind colours, and posters to read."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from pipelines import gallery
from pipelines.canvas import Picture, Placed, picture
from pipelines.gallery.needs import lock_of
from pipelines.graph.crew import CREWS
from pipelines.graph.geometry import GAP_X, GAP_Y, HEADER, HEIGHT, WIDTH, Line
from pipelines.graph.layout import layout
from pipelines.graph.model import Document, Kind, Node
from pipelines.graph.parse import parse
from pipelines.graph.places import places

# The layout runs downwards; here down is right. A row of it becomes a column of 35 units (of 64 where crews work), a
# column a row of 25.
COLUMN, WIDE_COLUMN, ROW = 35, 64, 25
ACROSS = ROW / (WIDTH + GAP_X)
FRAME_W, FRAME_H, MARGIN = 280, 92, 6
BOX_W, BOX_H, DOT = 24, 13, 5
CREW_W, MEMBER_W, MEMBER_H, APART = 54, 17, 10, 16
SEEN = 4
CORNER = 8.0
TITLE_LETTERS, SUBTITLE_LETTERS = 17, 22
ENDS = (Kind.INPUT, Kind.OUTPUT)

Spot = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """One shape: `kind` gives it its colour; a group has none. `round` are its corners."""

    kind: str
    x: float
    y: float
    w: float
    h: float
    round: float


@dataclass(frozen=True, slots=True)
class Tiny:
    frame: str
    groups: Sequence[Mark]
    lines: Sequence[str]
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Caption:
    """The words of a step on a poster: at most two lines of title, one below."""

    placed: Placed
    title: Sequence[str]
    subtitle: str


@dataclass(frozen=True, slots=True)
class Poster:
    picture: Picture
    captions: Sequence[Caption]


@cache
def tiny(name: str) -> Tiny:
    """Return the tiny picture of a template."""
    return drawn(parse(gallery.template(name).document))


@cache
def poster(name: str) -> Poster:
    """Return a template's picture with the words of each step."""
    found = picture(parse(gallery.template(name).document), lock_of(name))
    return Poster(found, [_caption(placed) for placed in found.nodes])


def drawn(document: Document) -> Tiny:
    """Return the tiny picture of a document: a dot where it starts and ends, a box per step, a frame per group."""
    return _Sketch(document).tiny()


class _Sketch:
    """One document on its side."""

    def __init__(self, document: Document) -> None:
        self._laid = layout(document)
        self._nodes = {place.name: place.node for place in places(document)}
        wide = any(node.kind in CREWS for node in self._nodes.values())
        self._along = (WIDE_COLUMN if wide else COLUMN) / (HEIGHT + GAP_Y)
        self._frames = {name: frame for name in self._nodes if (frame := self._frame_of(name))}

    def tiny(self) -> Tiny:
        crews = [_crew(self._nodes[name], *self._centre(name)) for name in self._frames if self._is_crew(name)]
        boxes = [self._mark(name) for name in self._nodes if name not in self._frames]
        marks = [*boxes, *(mark for crew in crews for mark in crew.marks)]
        lines = [_path(self._spots(line)) for line in self._laid.edges]
        groups = list(self._frames.values())
        return Tiny(_frame(groups + marks), groups, [*lines, *(line for crew in crews for line in crew.lines)], marks)

    def _is_crew(self, name: str) -> bool:
        return self._nodes[name].kind in CREWS

    def _centre(self, name: str) -> Spot:
        box = self._laid.nodes[name]
        return (box.y + box.h / 2) * self._along, (box.x + box.w / 2) * ACROSS

    def _frame_of(self, name: str) -> Mark | None:
        node, box = self._nodes[name], self._laid.nodes[name]
        if node.graph is not None:
            left, right = (box.y + HEADER) * self._along - 2, (box.y + box.h) * self._along + 2
            return _rounded(Mark("", left, box.x * ACROSS, right - left, box.w * ACROSS, 6))
        if not self._is_crew(name):
            return None
        x, y = self._centre(name)
        height = APART * _rows(node) + 8
        return _rounded(Mark("", x - CREW_W / 2, y - height / 2, CREW_W, height, 6))

    def _mark(self, name: str) -> Mark:
        kind, (x, y) = self._nodes[name].kind, self._centre(name)
        if kind in ENDS:
            return _rounded(Mark(kind, x - DOT, y - DOT, 2 * DOT, 2 * DOT, DOT))
        return _rounded(Mark(kind, x - BOX_W / 2, y - BOX_H / 2, BOX_W, BOX_H, 4))

    def _spots(self, line: Line) -> list[Spot]:
        """Return the corners of an edge from the middle of its source's right, whatever its port, to its target."""
        port, middle = line.points[0][0], self._centre(line.source)[1]
        corners = [(y * self._along, middle if x == port else x * ACROSS) for x, y in line.points]
        left = (self._ends(line.target)[0], corners[-1][1])
        return [(self._ends(line.source)[1], middle), *corners[1:-1], left]

    def _ends(self, name: str) -> tuple[float, float]:
        mark = self._frames.get(name) or self._mark(name)
        return mark.x, mark.x + mark.w


def _rows(node: Node) -> int:
    """Return how many rows a crew takes: one a worker under a leader, else two members in each, and one to judge."""
    crew = _size(node)
    return crew if node.config.get("agent") else (crew + 1) // 2 + bool(node.config.get("judge"))


def _size(node: Node) -> int:
    return min(len(node.config.get("members") or node.config.get("workers") or ()), SEEN)


def _crew(node: Node, x: float, y: float) -> Tiny:
    """Return the members of a team around each other, or a leader with its workers."""
    rows, crew = _rows(node), _size(node)
    top, left, right = y - APART * (rows - 1) / 2, x - 13, x + 13
    if node.config.get("agent"):
        places = [(right, top + APART * index) for index in range(crew)]
        return Tiny("", (), [_between((left, y), place) for place in places], [*map(_member, [(left, y), *places])])
    places = [((left, right)[index % 2], top + APART * (index // 2)) for index in range(crew)]
    marks = [_member(place) for place in places]
    lines = [_straight(one, other) for one, other in pairwise(places)]
    if node.config.get("judge"):
        judge = (x, top + APART * (rows - 1))
        marks.append(_member(judge, Kind.CHECK))
        lines += [_straight(place, judge) for place in places]
    return Tiny("", (), lines, marks)


def _member(place: Spot, kind: Kind = Kind.AGENT) -> Mark:
    return _rounded(Mark(kind, place[0] - MEMBER_W / 2, place[1] - MEMBER_H / 2, MEMBER_W, MEMBER_H, 3))


def _straight(one: Spot, other: Spot) -> str:
    return f"M{_figure(one)}L{_figure(other)}"


def _between(leader: Spot, worker: Spot) -> str:
    middle = (leader[0] + worker[0]) / 2
    return (
        _path([leader, (middle, leader[1]), (middle, worker[1]), worker])
        if leader[1] != worker[1]
        else _straight(leader, worker)
    )


def _path(spots: Sequence[Spot]) -> str:
    """Return the path of a line with round corners."""
    path = [f"M{_figure(spots[0])}"]
    for before, corner, after in zip(spots, spots[1:], spots[2:], strict=False):
        path.append(f"L{_figure(_near(corner, before))}Q{_figure(corner)} {_figure(_near(corner, after))}")
    return f"{''.join(path)}L{_figure(spots[-1])}"


def _near(corner: Spot, other: Spot) -> Spot:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(dx), abs(dy), 1)
    reach = min(CORNER, length / 2) / length
    return corner[0] + dx * reach, corner[1] + dy * reach


def _figure(spot: Spot) -> str:
    return f"{round(spot[0], 1):g} {round(spot[1], 1):g}"


def _rounded(mark: Mark) -> Mark:
    return Mark(mark.kind, *(round(figure, 1) for figure in (mark.x, mark.y, mark.w, mark.h, mark.round)))


def _frame(marks: Sequence[Mark]) -> str:
    """Return the view box: as large on every card, so that boxes are, unless the picture is larger."""
    left, top = min(mark.x for mark in marks), min(mark.y for mark in marks)
    right, bottom = max(mark.x + mark.w for mark in marks), max(mark.y + mark.h for mark in marks)
    width, height = max(FRAME_W, right - left + 2 * MARGIN), max(FRAME_H, bottom - top + 2 * MARGIN)
    x, y = (left + right - width) / 2, (top + bottom - height) / 2
    return f"{x:.1f} {y:.1f} {width:.1f} {height:.1f}"


def _caption(placed: Placed) -> Caption:
    room = TITLE_LETTERS if placed.box.w <= WIDTH else TITLE_LETTERS * placed.box.w // WIDTH
    lines = 1 if placed.is_group or placed.is_pill else 2
    title = textwrap.wrap(placed.title, room, max_lines=lines, placeholder=" …")
    return Caption(placed, title, textwrap.shorten(placed.subtitle, SUBTITLE_LETTERS, placeholder=" …"))
