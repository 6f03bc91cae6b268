"""What a command may know, and how it names steps, arrows and spots. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.editor.presets import Offer
from pipelines.graph.byhand import pins_of
from pipelines.graph.geometry import Box
from pipelines.graph.model import Json
from pipelines.ops import Op

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command may know: the draft, where its boxes stand, what the workspace offers, and what was copied."""

    document: Raw
    boxes: Mapping[str, Box] = field(default_factory=dict)
    offer: Offer = field(default_factory=Offer)
    copied: Raw | None = None


def scope_of(document: Raw, place: str) -> Raw:
    """Return the raw graph of a container, or the document's own for ""; KeyError when there is none."""
    graph: Raw = document["graph"]
    for name in place.split(".") if place else ():
        graph = graph["nodes"][name]["graph"]
    return graph


def node_at(document: Raw, place: str) -> Raw:
    """Return the raw step at a dotted place; KeyError when there is none."""
    scope, _, name = place.rpartition(".")
    node: Raw = scope_of(document, scope)["nodes"][name]
    return node


def scope_and_name(place: str) -> tuple[str, str]:
    """Return the place of a step's container, "" for the pipeline itself, and the step's name in it."""
    scope, _, name = place.rpartition(".")
    return scope, name


def outermost(places: Sequence[str]) -> list[str]:
    """Return the places without those inside another of them; at least one."""
    chosen = [str(place) for place in dict.fromkeys(places)]
    if not chosen:
        raise ValueError
    return [place for place in chosen if not any(place.startswith(f"{other}.") for other in chosen)]


def edge_op(scope: str, source: Json, port: Json, target: Json) -> Op:
    edge: Op = {"op": "add_edge", "scope": scope, "from": str(source), "to": str(target)}
    return edge if port == "done" else {**edge, "port": str(port)}


def ends(edge: Mapping[str, Json]) -> Raw:
    port = edge.get("port") or "done"
    return {"from": edge["from"], "to": edge["to"]} | ({} if port == "done" else {"port": port})


def point(value: Json) -> list[int]:
    x, y = value
    return [round(float(x)), round(float(y))]


def join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def within(scope: str, at: Sequence[int], desk: Desk) -> list[int]:
    """Return a point of the whole picture as a point in the picture of a scope."""
    pins = pins_of(desk.document.get("ui"))
    here = [join(scope, name) for name in scope_of(desk.document, scope)["nodes"]]
    boxes = [desk.boxes[place] for place in here if place in desk.boxes]
    if pinned := next((place for place in here if place in pins and place in desk.boxes), None):
        left, top = desk.boxes[pinned].x - pins[pinned][0], desk.boxes[pinned].y - pins[pinned][1]
    elif scope and boxes:
        left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    else:
        left = top = 0
    return [at[0] - left, at[1] - top]
