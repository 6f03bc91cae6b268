"""Arrows as ops: where a new step goes beside or before another, and two neighbours that change places. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.errors import Invalid
from pipelines.editor.desk import edge_op, ends, join, scope_of
from pipelines.graph.byhand import pins_of
from pipelines.graph.model import Json
from pipelines.graph.parse import step
from pipelines.ops import Op

Raw = dict[str, Any]


def leads_to(document: Raw, place: str) -> str | None:
    """Return the first step that leads to another; None when none does."""
    into = _around(document, place)[1] if place else ()
    return str(into[0]["from"]) if into else None


def before(document: Raw, place: str, entry: str, leave: str, port: str) -> list[Op]:
    """Return the ops that put new steps before another: all that led to it leads to them."""
    scope, into, _ = _around(document, place)
    if not port:
        raise Invalid("This step ends its way, so nothing can come after it. Add it after a step instead.", **_WRONG)
    return [
        *(_without(scope, one) for one in into),
        *(edge_op(scope, one["from"], one.get("port", "done"), entry) for one in into),
        edge_op(scope, leave, port, place.rpartition(".")[2]),
    ]


def beside(document: Raw, place: str, entry: str, leave: str, port: str) -> list[Op]:
    """Return the ops that put new steps beside another, as a parallel branch from where it begins to where it leads."""
    scope, into, out = _around(document, place)
    if not into:
        raise Invalid("Nothing leads to this step, so nothing can run in parallel with it.", **_WRONG)
    onward = list(dict.fromkeys(one["to"] for one in out)) if port else []
    begins = [edge_op(scope, one["from"], one.get("port", "done"), entry) for one in into]
    return [*begins, *(edge_op(scope, leave, port, target) for target in onward)]


def swap(args: Mapping[str, Json], document: Raw) -> list[Op]:
    """Return the ops by which two steps of a chain change places: `place` goes `up` or `down`."""
    place = str(args["place"])
    scope, into, out = _around(document, place)
    name = place.rpartition(".")[2]
    near = into if args["by"] == "up" else out
    if len(near) != 1:
        raise Invalid("Here the way branches or ends. Only along a chain can a step change places.", **_WRONG)
    first, second = (near[0]["from"], name) if args["by"] == "up" else (name, near[0]["to"])
    return _swapped(document, scope, str(first), str(second))


def _swapped(document: Raw, scope: str, first: str, second: str) -> list[Op]:
    nodes = scope_of(document, scope)["nodes"]
    _, into, between = _around(document, join(scope, first))
    _, back, out = _around(document, join(scope, second))
    ports = {one.get("port", "done") for one in out}
    if len(between) != 1 or len(back) != 1 or len(ports) > 1:
        raise Invalid("Here the way branches or ends. Only along a chain can a step change places.", **_WRONG)
    if nodes[first]["kind"] == "input" or nodes[second]["kind"] == "output":
        raise Invalid("The start stays first and a result last. Move the steps between them.", **_WRONG)
    forward = between[0].get("port", "done")
    backward = ports.pop() if ports else step(second, nodes[second]).ports[0]
    return [
        *(_without(scope, one) for one in [*into, *between, *out]),
        *(edge_op(scope, one["from"], one.get("port", "done"), second) for one in into),
        edge_op(scope, second, backward, first),
        *(edge_op(scope, first, forward, one["to"]) for one in out),
        *_spots(document, join(scope, first), join(scope, second)),
    ]


def _spots(document: Raw, one: str, other: str) -> list[Op]:
    """Return the op by which two boxes change places on the picture too, where people put them somewhere."""
    pins = pins_of(document.get("ui"))
    if one not in pins or other not in pins:
        return []
    return [{"op": "move", "positions": {one: list(pins[other]), other: list(pins[one])}}]


def _around(document: Raw, place: str) -> tuple[str, Sequence[Raw], Sequence[Raw]]:
    """Return a step's scope, the arrows that lead to it and those that leave it; KeyError when there is no step."""
    scope, _, name = place.rpartition(".")
    graph = scope_of(document, scope)
    graph["nodes"][name]
    edges = graph["edges"]
    return scope, [one for one in edges if one["to"] == name], [one for one in edges if one["from"] == name]


def _without(scope: str, drawn: Mapping[str, Json]) -> Op:
    return {"op": "remove_edge", "scope": scope, **ends(drawn)}


_WRONG: Any = {"code": "bad_command", "where": "/with"}
