"""What a person can do to a draft, as commands that become ops. Pure: a raw document goes in, ops come out.

A command is a name and arguments from a browser, so everything in them is looked at. Raises Invalid `bad_command`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from accounts.errors import Invalid
from pipelines.editor import cloning, crews, scopes, wiring
from pipelines.editor.desk import Desk, Raw, edge_op, ends, join, node_at, outermost, point, scope_of, within
from pipelines.editor.presets import Fragment, build
from pipelines.graph.byhand import pins_of
from pipelines.graph.model import Json
from pipelines.ops import Op

OFFSET = 28  # a copy stands a little aside of what it copies


def ops_of(name: str, args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Return the ops of a command; Invalid `bad_command` when there is none of that name or it does not fit."""
    command = _COMMANDS.get(name)
    if command is None:
        raise Invalid(f"{name[:40]!r} is nothing that can be done to a draft.", code="bad_command", where="/do")
    try:
        return command(args, desk)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise Invalid(
            f"The command {name!r} does not fit this draft. Load the page again and repeat it.",
            code="bad_command",
            where="/with",
        ) from None


def _add(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Add a preset: on an edge, after a step's port, `before` or `beside` a step, or by itself.

    `at` says where it stands on the picture.
    """
    near = str(args.get("before") or args.get("beside") or "")
    scope = near.rpartition(".")[0] if near else str(args.get("scope") or "")
    edge, after = args.get("on_edge"), args.get("after")
    source = _source(args) or wiring.leads_to(desk.document, near)
    before = _Before(desk.document, scope, source)
    made = build(str(args["preset"]), desk.offer, before)
    ops = list(_placed(made, scope, desk))
    names = _names_of(made, scope, desk)
    entry, leave = names[made.entry], names[made.exit]
    if edge and not made.port:
        after = {"node": edge["from"], "port": edge.get("port", "done")}
        edge = None
    if edge:
        ops = [
            {"op": "remove_edge", "scope": scope, **ends(edge)},
            *ops,
            edge_op(scope, edge["from"], edge.get("port", "done"), entry),
            edge_op(scope, leave, made.port, edge["to"]),
        ]
    elif near:
        put = wiring.before if args.get("before") else wiring.beside
        ops += put(desk.document, near, entry, leave, made.port)
    elif after:
        ops.append(edge_op(scope, source, after.get("port", "done"), entry))
    if at := args.get("at"):
        ops.append({"op": "move", "positions": {join(scope, entry): within(scope, point(at), desk)}})
    return ops


def _source(args: Mapping[str, Json]) -> str | None:
    if edge := args.get("on_edge"):
        return str(edge["from"])
    return str(args["after"]["node"]).rpartition(".")[2] if args.get("after") else None


@dataclass(frozen=True, slots=True)
class _Before:
    """What leads to a step that is about to be added: presets word their prompts after it."""

    document: Raw
    scope: str
    source: str | None

    @property
    def value(self) -> str:
        """Return the template of the value that comes in, "" when nothing leads here."""
        if self.source is None:
            return ""
        node = scope_of(self.document, self.scope)["nodes"][self.source]
        if node["kind"] == "input":
            fields = (self.document.get("inputs") or {}).get("properties") or {}
            return f"${{input.{next(iter(fields))}}}" if fields else ""
        return f"${{steps.{self.source}.output}}"


def _names_of(made: Fragment, scope: str, desk: Desk) -> dict[str, str]:
    taken = set(scope_of(desk.document, scope)["nodes"])
    names: dict[str, str] = {}
    for name in made.nodes:
        names[name] = cloning.fresh(name, taken)
        taken.add(names[name])
    return names


def _placed(made: Fragment, scope: str, desk: Desk) -> Iterator[Op]:
    names = _names_of(made, scope, desk)
    for name, node in made.nodes.items():
        yield {"op": "set_node", "node": join(scope, names[name]), "value": cloning.renamed(node, names)}
    for edge in made.edges:
        yield edge_op(scope, names[edge["from"]], edge.get("port", "done"), names[edge["to"]])


def _connect(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    scope = str(args.get("scope") or "")
    return [edge_op(scope, args["from"], args.get("port") or "done", args["to"])]


def _disconnect(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    return [{"op": "remove_edge", "scope": str(edge.get("scope") or ""), **ends(edge)} for edge in args["edges"]]


def _delete(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Remove steps; where one stood between two others, these are joined, so that the way does not break."""
    places = outermost(args["places"])
    doomed = set(places)
    ops: list[Op] = []
    for place in places:
        scope, _, name = place.rpartition(".")
        edges = scope_of(desk.document, scope)["edges"]
        into = [edge for edge in edges if edge["to"] == name]
        out = [edge for edge in edges if edge["from"] == name]
        node_at(desk.document, place)
        ops.append({"op": "remove_node", "node": place})
        if len(into) == len(out) == 1 and not {join(scope, into[0]["from"]), join(scope, out[0]["to"])} & doomed:
            bridge = edge_op(scope, into[0]["from"], into[0].get("port", "done"), out[0]["to"])
            if not any(ends(edge) == ends(bridge) for edge in edges):
                ops.append(bridge)
    pinned = [
        pin for pin in pins_of(desk.document.get("ui")) if any(pin == p or pin.startswith(f"{p}.") for p in doomed)
    ]
    return ops + ([{"op": "move", "positions": dict.fromkeys(pinned)}] if pinned else [])


def _move(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Put boxes somewhere on the picture. The first move in a scope pins all its boxes, so that no other one jumps."""
    positions: dict[str, Json] = {}
    pins = pins_of(desk.document.get("ui"))
    for place, at in args["positions"].items():
        node_at(desk.document, place)
        scope = place.rpartition(".")[0]
        here = [join(scope, name) for name in scope_of(desk.document, scope)["nodes"]]
        for other in () if any(name in pins for name in here) else here:
            box = desk.boxes[other]
            positions.setdefault(other, within(scope, [box.x, box.y], desk))
        positions[place] = within(scope, point(at), desk)
    return [{"op": "move", "positions": positions}]


def _tidy(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Let the layout place all boxes again."""
    pins = (desk.document.get("ui") or {}).get("positions") or {}
    if not pins:
        raise Invalid("Everything is tidy already.", code="nothing_to_tidy")
    return [{"op": "move", "positions": dict.fromkeys(pins)}]


def _duplicate(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    return _copied(desk.document, outermost(args["places"]), None, desk)


def _paste(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Paste steps that were copied from this draft or from another one of the workspace."""
    return _copied(desk.copied or desk.document, outermost(args["places"]), str(args.get("scope") or ""), desk)


def _copied(source: Raw, places: Sequence[str], into: str | None, desk: Desk) -> list[Op]:
    """Return the ops that clone steps with the edges between them, each into its own scope or all into one."""
    ops: list[Op] = []
    taken: dict[str, set[str]] = {}
    names: dict[str, dict[str, str]] = {}
    for place in places:
        scope, _, name = place.rpartition(".")
        goal = scope if into is None else into
        used = taken.setdefault(goal, set(scope_of(desk.document, goal)["nodes"]))
        names.setdefault(scope, {})[name] = cloning.fresh(name, used)
        used.add(names[scope][name])
    pins, moved = pins_of(desk.document.get("ui")), {}
    for scope, renames in names.items():
        goal, graph = scope if into is None else into, scope_of(source, scope)
        for name, new in renames.items():
            ops.append(
                {"op": "set_node", "node": join(goal, new), "value": cloning.renamed(graph["nodes"][name], renames)}
            )
            if into is None and (at := pins.get(join(scope, name))):
                moved[join(goal, new)] = [at[0] + OFFSET, at[1] + OFFSET]
        ops += [
            edge_op(goal, renames[edge["from"]], edge.get("port", "done"), renames[edge["to"]])
            for edge in graph["edges"]
            if edge["from"] in renames and edge["to"] in renames
        ]
    return ops + ([{"op": "move", "positions": moved}] if moved else [])


_COMMANDS: Mapping[str, Callable[[Mapping[str, Json], Desk], list[Op]]] = {
    "add": _add,
    "connect": _connect,
    "disconnect": _disconnect,
    "delete": _delete,
    "move": _move,
    "tidy": _tidy,
    "duplicate": _duplicate,
    "paste": _paste,
    "swap": lambda args, desk: wiring.swap(args, desk.document),
    "move_into": scopes.move_into,
    "wrap": scopes.wrap,
    "add_member": crews.add,
    "move_member": crews.move,
    "remove_member": crews.remove,
}
