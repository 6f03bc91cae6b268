"""Two documents as two pictures at one scale, with a ring around each step that came, went or changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from pipelines.canvas import Picture, Placed, picture
from pipelines.changes import CHANGED, GONE, NEW, Told, marks
from pipelines.graph.model import Document, Kind

SQUASH = 0.76
LETTER = 9.0
ROW = 19
TILE = 46
PILL = 34
PILL_TILE = 34
MOST_STEPS = 300
FITS = 560
WIDE = 760
LEAST = 0.62
_MARKS = ((NEW, "new"), (CHANGED, "changed"), (GONE, "removed"))


@dataclass(frozen=True, slots=True)
class Shape:
    """A step as the picture draws it, in units of its view box; `mark` is new, gone, changed or ""."""

    place: str
    title: str
    kind: str
    mark: str
    x: int
    y: int
    w: int
    h: int
    form: str
    words: Sequence["Words"] = ()

    @property
    def right(self) -> int:
        return self.x + self.w

    @property
    def middle(self) -> int:
        return self.y + self.h // 2


@dataclass(frozen=True, slots=True)
class Words:
    """One row of a step's title."""

    text: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Stroke:
    line: str
    tip: str
    mark: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """One of the two pictures. `summary` says in words what can be seen, for those who do not see it."""

    shapes: Sequence[Shape]
    strokes: Sequence[Stroke]
    x: int
    width: int
    height: int
    summary: str
    squash: float = SQUASH

    @property
    def is_wide(self) -> bool:
        """Whether two of them beside each other could no longer be read."""
        return self.width > WIDE

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in pixels: as high as a screen holds, unless nobody could read that."""
        scale = max(min(FITS / self.height, 1), LEAST)
        return round(self.width * scale), round(self.height * scale)

    @property
    def view_box(self) -> str:
        return f"{self.x} 0 {self.width} {self.height}"


def before_after(old: Document, new: Document, entries: Sequence[Told]) -> tuple[Drawing, Drawing] | None:
    """Return the two pictures; None where they would be too large to be read side by side."""
    drawn = picture(old), picture(new)
    if max(len(one.nodes) for one in drawn) > MOST_STEPS:
        return None
    size = max(one.width for one in drawn), max(one.height for one in drawn)
    keys = [{route.key for route in one.routes} for one in drawn]
    before, after = marks(entries)
    return (
        _drawing(drawn[0], size, before, dict.fromkeys(keys[0] - keys[1], GONE)),
        _drawing(drawn[1], size, after, dict.fromkeys(keys[1] - keys[0], NEW)),
    )


def alone(document: Document) -> Drawing | None:
    """Return the picture of a document that has none to be compared with."""
    drawn = picture(document)
    return None if len(drawn.nodes) > MOST_STEPS else _drawing(drawn, (drawn.width, drawn.height), {}, {})


def _drawing(drawn: Picture, size: tuple[float, float], steps: Mapping[str, str], lines: Mapping[str, str]) -> Drawing:
    width, height = size
    shapes = [_shape(placed, steps.get(placed.place, "")) for placed in drawn.nodes]
    counts = ((word, sum(shape.mark == mark for shape in shapes)) for mark, word in _MARKS)
    told = [f"{count} {word}" for word, count in counts if count]
    return Drawing(
        shapes=shapes,
        strokes=[Stroke(route.line, route.tip, lines.get(route.key, "")) for route in drawn.routes],
        x=round((drawn.width - width) / 2),
        width=round(width),
        height=round(height * SQUASH),
        summary=f"{len(shapes)} steps{': ' if told else ''}{', '.join(told)}",
    )


def _shape(placed: Placed, mark: str) -> Shape:
    box = placed.box
    top, height = round(box.y * SQUASH), round(box.h * SQUASH)
    form = "group" if placed.is_group else "pill" if placed.is_pill else "step"
    if form == "pill":
        # As on the canvas: the start stands at the foot of its box, where its line begins.
        top, height = (top + height - PILL if placed.node.kind is Kind.INPUT else top), PILL
    return Shape(
        place=placed.place,
        title=placed.title,
        kind=placed.node.kind,
        mark=mark,
        x=box.x,
        y=top,
        w=box.w,
        h=height,
        form=form,
        words=_words(placed.title, (box.x, top, box.w, height), form),
    )


def _words(title: str, box: tuple[int, int, int, int], form: str) -> list[Words]:
    x, y, w, h = box
    left = x + (TILE if form == "step" else PILL_TILE)
    room = max(int((x + w - 8 - left) / LETTER), 4)
    rows = wrap(title, room, max_lines=3 if form == "step" else 1, placeholder="…", break_long_words=True)
    middle = y + (h // 2 if form != "group" else 18)
    first = middle + 6 - ROW * (len(rows) - 1) // 2
    return [Words(row, left, first + ROW * index) for index, row in enumerate(rows)]
