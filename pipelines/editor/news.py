"""What the canvas must change to show a draft as it is now instead of as it was. Pure."""

from dataclasses import dataclass

from pipelines.canvas import Picture, Placed, Route
from pipelines.graph.geometry import Box
from pipelines.graph.model import Json


@dataclass(frozen=True, slots=True)
class News:
    """Boxes that are new, gone, of other words or elsewhere, by place; edges that are new or run otherwise, or gone.

    `joined` are those of the edges that are new.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    boxes: dict[str, list[int]]
    edges: dict[str, Json]
    joined: tuple[str, ...]
    removed_edges: tuple[str, ...]
    frame: list[int]

    def as_json(self) -> dict[str, Json]:
        return {
            "removed": list(self.removed),
            "boxes": self.boxes,
            "edges": self.edges,
            "joined": list(self.joined),
            "removed_edges": list(self.removed_edges),
            "frame": self.frame,
        }


def between(old: Picture, new: Picture) -> News:
    """Return what is different in the newer of two pictures."""
    before, after = old.by_place, new.by_place
    routes, lines = {route.key: route for route in old.routes}, {route.key: route for route in new.routes}
    stay = [place for place in after if place in before]
    return News(
        added=tuple(place for place in after if place not in before),
        removed=tuple(place for place in before if place not in after),
        changed=tuple(place for place in stay if _looks(before[place]) != _looks(after[place])),
        boxes={
            place: box_json(placed.box)
            for place, placed in after.items()
            if place not in before or before[place].box != placed.box
        },
        edges={key: edge_json(route) for key, route in lines.items() if routes.get(key) != route},
        joined=tuple(key for key in lines if key not in routes),
        removed_edges=tuple(key for key in routes if key not in lines),
        frame=frame_json(new),
    )


def _looks(placed: Placed) -> object:
    return placed.node, placed.subtitle


def box_json(box: Box) -> list[int]:
    return [box.x, box.y, box.w, box.h]


def edge_json(route: Route) -> dict[str, Json]:
    """Return what the canvas draws an edge from."""
    return {
        "source": route.source,
        "target": route.target,
        "port": route.port,
        "line": route.line,
        "tip": route.tip,
        "label": route.label,
        "at": [route.label_x, route.label_y],
    }


def frame_json(picture: Picture) -> list[int]:
    """Return where the picture begins and how large it is: left, top, width, height."""
    return [picture.left, picture.top, picture.width, picture.height]
