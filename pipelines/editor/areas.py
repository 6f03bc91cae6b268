"""What lies behind the boxes of a picture: the safe zones, and the way back of each Repeat. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.canvas import Picture, Placed, rounded
from pipelines.graph.geometry import Box
from pipelines.graph.model import Document, Graph, Json, Kind
from pipelines.graph.safe import SKIP, zones

PAD = 14
ASIDE = 12  # how far beside its boxes the way back of a Repeat runs; it stays within the group


@dataclass(frozen=True, slots=True)
class Area:
    """A frame around steps that lie together and whose failures are left out."""

    box: Box
    places: tuple[str, ...]


def drawn_behind(document: Document, picture: Picture) -> dict[str, Json]:
    """Return what the canvas draws behind its boxes."""
    return {
        "safe": [
            {"box": [area.box.x, area.box.y, area.box.w, area.box.h], "places": list(area.places)}
            for area in safe_areas(document, picture)
        ],
        "again": [_again(picture, placed) for placed in picture.nodes if placed.node.kind is Kind.REPEAT],
    }


def safe_areas(document: Document, picture: Picture) -> list[Area]:
    """Return a frame for each two or more safe steps of a scope that arrows join directly or through what leads to
    them. Where another box would stand in a frame there is none: it would say something untrue of that box."""
    safe = {place for place, then in zones(document).items() if then == SKIP}
    found: list[Area] = []
    for prefix, graph in _graphs(document.graph):
        here = [picture.by_place[f"{prefix}{name}"] for name in graph.nodes]
        members = {one.place for one in here if one.place in safe and one.node.kind is not Kind.INPUT}
        for group in _together(prefix, graph, members):
            frame = _around([picture.by_place[place].box for place in group])
            others = [one.box for one in here if one.place not in group]
            if len(group) > 1 and not any(frame.touches(other) for other in others):
                found.append(Area(frame, tuple(group)))
    return found


def _graphs(graph: Graph, prefix: str = "") -> Iterator[tuple[str, Graph]]:
    yield prefix, graph
    for name, node in graph.nodes.items():
        if node.graph is not None:
            yield from _graphs(node.graph, f"{prefix}{name}.")


def _together(prefix: str, graph: Graph, members: set[str]) -> list[list[str]]:
    """Return the members in groups: those that an arrow joins, and those that the same step leads to."""
    leader = {place: place for place in members}

    def head(place: str) -> str:
        while leader[place] != place:
            place = leader[place]
        return place

    for name in graph.nodes:
        around = [f"{prefix}{name}", *(f"{prefix}{graph.edges[index].target}" for index in graph.outs[name])]
        near = [place for place in around if place in members]
        for place in near[1:]:
            leader[head(place)] = head(near[0])
    groups: dict[str, list[str]] = {}
    for name in graph.nodes:
        if (place := f"{prefix}{name}") in members:
            groups.setdefault(head(place), []).append(place)
    return list(groups.values())


def _around(boxes: list[Box]) -> Box:
    left, top = min(box.x for box in boxes) - PAD, min(box.y for box in boxes) - PAD
    right, low = max(box.x + box.w for box in boxes) + PAD, max(box.y + box.h for box in boxes) + PAD
    return Box(left, top, right - left, low - top)


def _again(picture: Picture, group: Placed) -> Mapping[str, Json]:
    """Return the line from a Repeat's last box back to its first, to the right of all of them."""
    held = [placed for placed in picture.nodes if placed.place.rpartition(".")[0] == group.place]
    if not held:
        return {"group": group.place, "line": "", "tip": "", "at": [0, 0]}
    first, last = held[0].box, held[-1].box
    side = max(placed.box.x + placed.box.w for placed in held) + ASIDE
    up, down = first.y + first.h // 3, last.y + last.h * 2 // 3
    x = first.x + first.w
    return {
        "group": group.place,
        "line": rounded([(last.x + last.w, down), (side, down), (side, up), (x, up)]),
        "tip": f"M{x + 7} {up - 4}L{x} {up}L{x + 7} {up + 4}z",
        "at": [side, (up + down) // 2],
    }
