"""Steps that change their container: dropped into one, taken out of one, or grouped into a new one. Pure.

References follow where they still mean the same; arrows cannot cross a container's border, so those are removed or
joined to the container. Whatever no longer holds is for the problems to say.
"""

from collections.abc import Container, Mapping, Sequence

from accounts.errors import Invalid
from pipelines.editor import cloning
from pipelines.editor.desk import (
    Desk,
    Raw,
    edge_op,
    ends,
    join,
    node_at,
    outermost,
    point,
    scope_and_name,
    scope_of,
    within,
)
from pipelines.editor.presets import build
from pipelines.graph.byhand import pins_of
from pipelines.graph.model import Json
from pipelines.ops import Op

GROUPS = ("each", "repeat")


def move_into(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Move steps into the container `scope` ("" takes them out of all); `positions` says where they then stand."""
    goal, places = str(args.get("scope") or ""), outermost(args["places"])
    movers = [place for place in places if scope_and_name(place)[0] != goal]
    if not movers or any(goal == place or goal.startswith(f"{place}.") for place in movers):
        raise ValueError
    if any(node_at(desk.document, place)["kind"] == "input" for place in movers):
        raise Invalid("The start of a pipeline stands outside of every group.", code="bad_command", where="/with")
    names = _new_names(movers, goal, desk)
    ops = [op for place in movers for op in _taken_out(place, movers, desk)]
    for scope in dict.fromkeys(scope_and_name(place)[0] for place in movers):
        renames = {scope_and_name(old)[1]: new for old, new in names.items() if scope_and_name(old)[0] == scope}
        ops += _put_down(scope, goal, renames, desk)
        ops += _renamed_for_others(scope, goal, renames, desk)
    moved = {place: join(goal, names[place]) for place in movers}
    return [*ops, *_stand(moved, goal, args.get("positions") or {}, desk)]


def _new_names(movers: Sequence[str], goal: str, desk: Desk) -> dict[str, str]:
    """Return each moved step's name in its new scope."""
    taken = set(scope_of(desk.document, goal)["nodes"])
    names: dict[str, str] = {}
    for place in movers:
        names[place] = cloning.fresh(scope_and_name(place)[1], taken)
        taken.add(names[place])
    return names


def _taken_out(place: str, movers: Sequence[str], desk: Desk) -> list[Op]:
    """Remove a step from where it was, and join what stood before it with what stood after it."""
    scope, name = scope_and_name(place)
    edges = scope_of(desk.document, scope)["edges"]
    into = [edge for edge in edges if edge["to"] == name]
    out = [edge for edge in edges if edge["from"] == name]
    ops: list[Op] = [{"op": "remove_node", "node": place}]
    if len(into) == len(out) == 1 and not {join(scope, into[0]["from"]), join(scope, out[0]["to"])} & set(movers):
        bridge = edge_op(scope, into[0]["from"], into[0].get("port", "done"), out[0]["to"])
        if not any(ends(edge) == ends(bridge) for edge in edges):
            ops.append(bridge)
    return ops


def _put_down(scope: str, goal: str, names: Mapping[str, str], desk: Desk) -> list[Op]:
    """Put steps of a scope into another one, with the arrows between them."""
    graph = scope_of(desk.document, scope)
    ops: list[Op] = [
        {"op": "set_node", "node": join(goal, new), "value": cloning.renamed(graph["nodes"][old], names)}
        for old, new in names.items()
    ]
    return ops + [
        edge_op(goal, names[edge["from"]], edge.get("port", "done"), names[edge["to"]])
        for edge in graph["edges"]
        if edge["from"] in names and edge["to"] in names
    ]


def _renamed_for_others(scope: str, goal: str, names: Mapping[str, str], desk: Desk) -> list[Op]:
    """Let the steps that stay read those that were taken out under another name: what is outside is seen inside."""
    new = {old: name for old, name in names.items() if old != name}
    outwards = not goal or scope.startswith(f"{goal}.")
    return _following(new, scope, names, desk) if new and outwards else []


def _following(names: Mapping[str, str], scope: str, without: Container[str], desk: Desk) -> list[Op]:
    """Let the steps of a scope refer to others by new names."""
    ops: list[Op] = []
    for name, node in scope_of(desk.document, scope)["nodes"].items():
        if name not in without and (changed := cloning.renamed(node, names)) != node:
            ops.append({"op": "set_node", "node": join(scope, name), "value": changed})
    return ops


def _stand(moved: Mapping[str, str], goal: str, spots: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Return where moved boxes stand: on the spots where they were dropped, else where the layout finds room.

    The first box that is put somewhere by hand pins the others of its scope, so that none jumps.
    """
    positions = _with_what_they_hold(moved, desk)
    for place in moved:
        positions.pop(moved[place], None)
    for place, at in spots.items():
        if place in moved:
            positions[moved[place]] = within(goal, point(at), desk)
    pins = pins_of(desk.document.get("ui"))
    here = [join(goal, name) for name in scope_of(desk.document, goal)["nodes"]]
    if spots and not any(place in pins for place in here):
        for place in here:
            if place not in moved:
                positions[place] = within(goal, [desk.boxes[place].x, desk.boxes[place].y], desk)
    return [{"op": "move", "positions": positions}] if positions else []


def _with_what_they_hold(moved: Mapping[str, str], desk: Desk) -> dict[str, Json]:
    """Return the pins of moved boxes and of what they hold under their new places, and none under the old ones."""
    positions: dict[str, Json] = {}
    for old, new in moved.items():
        for place, spot in pins_of(desk.document.get("ui")).items():
            if place == old or place.startswith(f"{old}."):
                positions[place] = None
                positions[new + place.removeprefix(old)] = list(spot)
    return positions


def wrap(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Group steps of one scope into a new For each or Repeat, which takes over the arrows that cross its border."""
    kind, places = str(args["kind"]), outermost(args["places"])
    scopes = {scope_and_name(place)[0] for place in places}
    if kind not in GROUPS or len(scopes) > 1:
        raise ValueError
    scope = scopes.pop()
    graph = scope_of(desk.document, scope)
    inside = {scope_and_name(place)[1]: node_at(desk.document, place) for place in places}
    if any(node["kind"] == "input" for node in inside.values()):
        raise Invalid("The start of a pipeline stands outside of every group.", code="bad_command", where="/with")
    name = cloning.fresh(kind, graph["nodes"])
    value = _group(kind, inside, graph["edges"], desk)
    ops: list[Op] = [{"op": "remove_node", "node": place} for place in places]
    ops.append({"op": "set_node", "node": join(scope, name), "value": value})
    ops += _around(name, scope, inside, graph["edges"])
    if last := _last(inside, graph["edges"]):
        ops += _following({last: name}, scope, inside, desk)  # they read the group's value instead of its last step's
    moved = {place: join(scope, f"{name}.{scope_and_name(place)[1]}") for place in places}
    return [*ops, *_grouped_pins(moved, join(scope, name), desk)]


def _group(kind: str, inside: Mapping[str, Raw], edges: Sequence[Raw], desk: Desk) -> Raw:
    fragment = build(kind, desk.offer, _Nothing())
    node = dict(fragment.nodes[fragment.entry])
    within_it = [dict(edge) for edge in edges if edge["from"] in inside and edge["to"] in inside]
    last = _last(inside, edges) or list(inside)[-1]
    if kind == "repeat":
        node["until"] = f"size(steps.{last}.output) > 200"
    return node | {"graph": {"nodes": dict(inside), "edges": within_it}}


class _Nothing:
    """A group is made of steps that are there: nothing that leads to it words a prompt."""

    value = ""


def _last(inside: Mapping[str, Raw], edges: Sequence[Raw]) -> str:
    """Return the only step that no other of them follows, whose output is the group's; "" when there are several."""
    going_on = {edge["from"] for edge in edges if edge["from"] in inside and edge["to"] in inside}
    ends_here = [name for name in inside if name not in going_on]
    return ends_here[0] if len(ends_here) == 1 else ""


def _around(name: str, scope: str, inside: Mapping[str, Raw], edges: Sequence[Raw]) -> list[Op]:
    """Return the arrows into and out of a group, each once. What was left by another way ("rejected", "error") is not
    what follows a group that is done: those arrows end."""
    found: list[Op] = []
    for edge in edges:
        if edge["to"] in inside and edge["from"] not in inside:
            found.append(edge_op(scope, edge["from"], edge.get("port", "done"), name))
        elif edge["from"] in inside and edge["to"] not in inside and edge.get("port", "done") in ("done", "approved"):
            found.append(edge_op(scope, name, "done", edge["to"]))
    return [op for index, op in enumerate(found) if op not in found[:index]]


def _grouped_pins(moved: Mapping[str, str], group: str, desk: Desk) -> list[Op]:
    """Boxes that stood by hand stand so inside the group, and the group where the first of them stood."""
    pins, positions = pins_of(desk.document.get("ui")), _with_what_they_hold(moved, desk)
    if pinned := [pins[place] for place in moved if place in pins]:
        positions[group] = [min(x for x, _ in pinned), min(y for _, y in pinned)]
    return [{"op": "move", "positions": positions}] if positions else []
