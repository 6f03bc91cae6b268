"""Where the boxes of a pipeline stand and how its lines run: top to bottom, the same picture every time.

Longest-path layers, order within a layer by the median of the neighbours, then positions that keep the order and come
as near to their neighbours as they can. Integers only. Containers are boxes that hold their own picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median_low

from pipelines.graph.byhand import ByHand
from pipelines.graph.crew import room_for
from pipelines.graph.geometry import GAP_X, GAP_Y, HEADER, HEIGHT, MARGIN, WIDTH, Box, Layout, Line, Point, port_offset
from pipelines.graph.model import Document, Edge, Graph

SWEEPS = 4
# Long edges get a bend in every layer they cross, unless that would be more bends than a picture can show.
MAX_BENDS = 4_000

# A step's name, or a bend: (index of its edge, its layer).
Member = str | tuple[int, int]


def layout(document: Document, pins: Mapping[str, Point] | None = None, *, with_crews: bool = False) -> Layout:
    """Return the picture of the whole document. `pins` are boxes that somebody has moved, by dotted place: where their
    upper left corners stand in the picture of their scope. `with_crews` leaves room for who works in a Team or a
    Supervisor."""
    return _layered(document.graph, "", pins or {}, with_crews)


def _layered(graph: Graph, prefix: str, pins: Mapping[str, Point], with_crews: bool) -> Layout:
    """Return the picture of one scope and of all scopes inside it; places begin with `prefix`."""
    inner = {
        name: _layered(node.graph, f"{prefix}{name}.", pins, with_crews)
        for name, node in graph.nodes.items()
        if node.graph
    }
    crews = {name: room for name, node in graph.nodes.items() if (room := room_for(node))} if with_crews else {}
    sizes = {name: crews.get(name) or _size(inner.get(name)) for name in graph.nodes}
    moved = {name: pins[prefix + name] for name in graph.nodes if prefix + name in pins}
    picture = ByHand(graph, sizes, moved) if moved else _Picture(graph, sizes)
    nodes: dict[str, Box] = {}
    edges: list[Line] = []
    for name in graph.nodes:
        box = picture.box(name)
        nodes[prefix + name] = box
        if name in inner:
            _place_inside(inner[name], box, nodes, edges)
    edges.extend(
        Line(prefix + edge.source, edge.port, prefix + edge.target, picture.points(index))
        for index, edge in enumerate(graph.edges)
    )
    return Layout(nodes, tuple(edges), picture.width, picture.height, picture.left, picture.top)


def _size(inside: Layout | None) -> Point:
    if inside is None:
        return WIDTH, HEIGHT
    return max(WIDTH, inside.width), HEADER + max(HEIGHT, inside.height)


def _place_inside(inside: Layout, box: Box, nodes: dict[str, Box], edges: list[Line]) -> None:
    right, down = box.x + (box.w - inside.width) // 2 - inside.left, box.y + HEADER - inside.top
    for place, held in inside.nodes.items():
        nodes[place] = Box(held.x + right, held.y + down, held.w, held.h)
    for line in inside.edges:
        points = tuple((x + right, y + down) for x, y in line.points)
        edges.append(Line(line.source, line.port, line.target, points))


class _Picture:
    """One scope, laid out: reads off where each box stands and how each edge bends."""

    left = top = 0

    def __init__(self, graph: Graph, sizes: Mapping[str, Point]) -> None:
        self._graph = graph
        self._sizes = sizes
        self._rank = _ranks(graph)
        self._net = _Net(graph, self._rank)
        self._net.order()
        self._centre = _centres(self._net, {name: size[0] for name, size in sizes.items()})
        self._tops = _tops(self._net.rows, sizes)

    @property
    def width(self) -> int:
        return MARGIN + max((self._centre[name] + w // 2 for name, (w, _) in self._sizes.items()), default=0)

    @property
    def height(self) -> int:
        return self._tops[-1] - GAP_Y + MARGIN if self._graph.nodes else 2 * MARGIN

    def box(self, name: str) -> Box:
        w, h = self._sizes[name]
        return Box(self._centre[name] - w // 2, self._tops[self._rank[name]], w, h)

    def points(self, index: int) -> tuple[Point, ...]:
        """Return the corners of an edge: down, sideways in the gap above each bend and above the target, down."""
        edge = self._graph.edges[index]
        start, end = self.box(edge.source), self.box(edge.target)
        x = start.x + port_offset(self._graph.nodes[edge.source], edge.port, start.w)
        corners: list[Point] = [(x, start.y + start.h)]
        for layer, member in [*self._net.bends.get(index, ()), (self._rank[edge.target], edge.target)]:
            if self._centre[member] != x:
                turn = self._tops[layer] - GAP_Y // 2
                corners += [(x, turn), (self._centre[member], turn)]
                x = self._centre[member]
        return (*corners, (x, end.y))


class _Net:
    """The layers of a scope with their neighbours."""

    def __init__(self, graph: Graph, rank: Mapping[str, int]) -> None:
        self.rows: list[list[Member]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
        self.above: dict[Member, list[Member]] = {}
        self.below: dict[Member, list[Member]] = {}
        self.bends: dict[int, list[tuple[int, Member]]] = {}
        for name in graph.order:
            self.rows[rank[name]].append(name)
        crossed = [range(rank[edge.source] + 1, rank[edge.target]) for edge in graph.edges]
        bent = sum(map(len, crossed)) <= MAX_BENDS
        for index, (edge, layers) in enumerate(zip(graph.edges, crossed, strict=True)):
            self._join(index, edge, layers if bent else range(0))

    def order(self) -> None:
        """Sort each row by the median place of its neighbours, downwards and upwards in turn."""
        for sweep in range(SWEEPS):
            downwards = sweep % 2 == 0
            rows = self.rows if downwards else self.rows[::-1]
            neighbours = self.above if downwards else self.below
            for before, row in pairwise(rows):
                place = {member: index for index, member in enumerate(before)}
                _sort_by_median(row, place, neighbours)

    def _join(self, index: int, edge: Edge, layers: range) -> None:
        bends: list[tuple[int, Member]] = [(layer, (index, layer)) for layer in layers]
        for layer, bend in bends:
            self.rows[layer].append(bend)
        if bends:
            self.bends[index] = bends
        chain: list[Member] = [edge.source, *(bend for _, bend in bends), edge.target]
        for upper, lower in pairwise(chain):
            self.below.setdefault(upper, []).append(lower)
            self.above.setdefault(lower, []).append(upper)


def _sort_by_median(
    row: list[Member], place: Mapping[Member, int], neighbours: Mapping[Member, Sequence[Member]]
) -> None:
    keys: dict[Member, int] = {}
    for index, member in enumerate(row):
        beside = [place[other] for other in neighbours.get(member, ()) if other in place]
        keys[member] = median_low(beside) if beside else index
    row.sort(key=keys.__getitem__)


def _ranks(graph: Graph) -> dict[str, int]:
    """Return each step's layer: the length of the longest way to it."""
    rank: dict[str, int] = {}
    for name in graph.order:
        rank[name] = max((rank[graph.edges[index].source] + 1 for index in graph.ins[name]), default=0)
    return rank


def _tops(rows: Iterable[Iterable[Member]], sizes: Mapping[str, Point]) -> list[int]:
    """Return the upper edge of each row, and after the last one where the next would begin."""
    tops = [MARGIN]
    for row in rows:
        tops.append(tops[-1] + GAP_Y + max(sizes[member][1] for member in row if isinstance(member, str)))
    return tops


def _centres(net: _Net, widths: Mapping[str, int]) -> dict[Member, int]:
    """Return each member's centre: as near to the mean of its neighbours as the order in its row allows."""
    centre: dict[Member, float] = {}
    for row in net.rows:
        centre.update(_spread(row, dict.fromkeys(row, 0.0), widths))
    for sweep in range(2 * SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = net.above if downwards else net.below
        for row in net.rows if downwards else net.rows[::-1]:
            wanted = {member: _mean(centre, neighbours.get(member), centre[member]) for member in row}
            centre.update(_spread(row, wanted, widths))
    left = min((centre[name] - widths[name] / 2 for name in widths), default=0.0)
    return {member: round(x - left) + MARGIN for member, x in centre.items()}


def _mean(centre: Mapping[Member, float], neighbours: Sequence[Member] | None, own: float) -> float:
    return sum(centre[member] for member in neighbours) / len(neighbours) if neighbours else own


def _spread(
    row: Sequence[Member], wanted: Mapping[Member, float], widths: Mapping[str, int]
) -> Iterable[tuple[Member, float]]:
    """Return positions that keep the order and the gaps and differ least from the wanted ones (least squares).

    Taking off what stands to the left turns the gaps into "not less than the one before": isotonic regression by
    pooling neighbours that are in the wrong order.
    """
    offsets: list[float] = []
    taken = 0.0
    for index, member in enumerate(row):
        half = widths[member] / 2 if isinstance(member, str) else 0
        taken += half + (GAP_X if index else 0)
        offsets.append(taken)
        taken += half
    pools: list[tuple[float, int]] = []
    for offset, member in zip(offsets, row, strict=True):
        total, count = wanted[member] - offset, 1
        while pools and pools[-1][0] * count > total * pools[-1][1]:
            before, members = pools.pop()
            total, count = total + before, count + members
        pools.append((total, count))
    level = (total / count for total, count in pools for _ in range(count))
    return [(member, at + offset) for member, at, offset in zip(row, level, offsets, strict=True)]
