"""The small changes an editor makes to a raw document, each with the changes that take it back.

A place names a node through its containers: `research.dig` is `dig` inside `research`; an edge's `scope` is the
container's place, "" for the pipeline's own graph. Nothing here touches the database, and the document given is not
changed. Whether the result still is a pipeline is for `graph.parse` to say.
"""

from collections.abc import Callable, Sequence
from typing import Any

from accounts.errors import Invalid

Raw = dict[str, Any]
Op = dict[str, Any]
SETTABLE = frozenset(
    {"name", "description", "inputs", "budget", "limits", "defaults", "approvals", "board", "pause_before", "ui"}
)
MAX_OPS = 500


def apply(document: Raw, ops: Sequence[Op]) -> tuple[Raw, list[Op]]:
    """Return the changed document and the ops that undo it; Invalid `bad_op` names the op that cannot be."""
    if not 1 <= len(ops) <= MAX_OPS:
        raise Invalid(f"Send between 1 and {MAX_OPS} ops at once, not {len(ops)}.", code="bad_op", where="/ops")
    changed = _copied(document)
    inverse: list[Op] = []
    for index, op in enumerate(ops):
        handler = _HANDLERS.get(str(op.get("op")))
        if handler is None:
            raise _bad(f"{op.get('op')!r} is no op. Use one of {', '.join(_HANDLERS)}.", index, "op")
        handle, required, optional = handler
        _check_shape(op, index, required, optional)
        try:
            inverse[:0] = handle(changed, op, index)
        except (KeyError, TypeError, AttributeError):
            # An earlier op of this batch left something behind that is no graph; no parser has seen it yet.
            raise _bad(f"The op {op['op']} does not fit what the ops before it made.", index, "op") from None
    return changed, inverse


def is_cosmetic(ops: Sequence[Op]) -> bool:
    """Say whether these ops only move boxes about."""
    return all(op["op"] == "move" for op in ops)


def _copied(value: Any) -> Any:
    """Return a JSON value of its own; a tenth of the time that a copy of anything takes."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _bad(message: str, index: int, field: str) -> Invalid:
    return Invalid(message, code="bad_op", where=f"/ops/{index}/{field}")


def _check_shape(op: Op, index: int, required: dict[str, type], optional: dict[str, type]) -> None:
    for name, kind in required.items():
        if not isinstance(op.get(name), kind):
            raise _bad(f"The op {op['op']} needs {name!r} as {_WORDS[kind]}.", index, name)
    for name, value in op.items():
        if name == "op" or name in required:
            continue
        if name not in optional:
            raise _bad(f"The op {op['op']} has no field {name!r}.", index, name)
        if not isinstance(value, optional[name]):
            raise _bad(f"{name!r} must be {_WORDS[optional[name]]}.", index, name)


def _scope(document: Raw, place: str, index: int, field: str) -> Raw:
    graph: Raw = document["graph"]
    for name in place.split(".") if place else []:
        node = graph["nodes"].get(name)
        if node is None or not isinstance(node.get("graph"), dict):
            raise _bad(f"There is no container {place!r} in this pipeline.", index, field)
        graph = node["graph"]
    return graph


def _set_node(document: Raw, op: Op, index: int) -> list[Op]:
    scope, _, name = op["node"].rpartition(".")
    nodes = _scope(document, scope, index, "node")["nodes"]
    before = nodes.get(name)
    nodes[name] = _copied(op["value"])
    undo: Op = {"op": "remove_node", "node": op["node"]}
    return [undo if before is None else {"op": "set_node", "node": op["node"], "value": before}]


def _remove_node(document: Raw, op: Op, index: int) -> list[Op]:
    """Remove a node with the edges that touch it."""
    scope, _, name = op["node"].rpartition(".")
    graph = _scope(document, scope, index, "node")
    if name not in graph["nodes"]:
        raise _bad(f"There is no step {op['node']!r} to remove.", index, "node")
    before = graph["nodes"].pop(name)
    gone = [edge for edge in graph["edges"] if name in (edge["from"], edge["to"])]
    graph["edges"] = [edge for edge in graph["edges"] if edge not in gone]
    return [
        {"op": "set_node", "node": op["node"], "value": before},
        *({"op": "add_edge", "scope": scope, **edge} for edge in gone),
    ]


def _edge(op: Op) -> Raw:
    return {name: op[name] for name in ("from", "port", "to") if name in op}


def _same_edge(one: Raw, other: Raw) -> bool:
    return all(one.get(name, "done") == other.get(name, "done") for name in ("from", "port", "to"))


def _add_edge(document: Raw, op: Op, index: int) -> list[Op]:
    _scope(document, op.get("scope", ""), index, "scope")["edges"].append(_edge(op))
    return [{**op, "op": "remove_edge"}]


def _remove_edge(document: Raw, op: Op, index: int) -> list[Op]:
    edges = _scope(document, op.get("scope", ""), index, "scope")["edges"]
    for place, edge in enumerate(edges):
        if _same_edge(edge, op):
            del edges[place]
            return [{"op": "add_edge", "scope": op.get("scope", ""), **edge}]
    raise _bad(f"There is no arrow from {op['from']!r} to {op['to']!r} to remove.", index, "from")


def _set_document(document: Raw, op: Op, index: int) -> list[Op]:
    """Set top-level fields; null removes one."""
    before: Raw = {}
    for name, value in op["fields"].items():
        if name not in SETTABLE:
            raise _bad(f"{name!r} cannot be set this way. These can: {', '.join(sorted(SETTABLE))}.", index, "fields")
        before[name] = document.pop(name, None)
        if value is not None:
            document[name] = _copied(value)
    return [{"op": "set_document", "fields": before}]


def _move(document: Raw, op: Op, index: int) -> list[Op]:
    """Put boxes somewhere; null lets the canvas choose again."""
    positions = document.setdefault("ui", {}).setdefault("positions", {})
    before: Raw = {}
    for place, position in op["positions"].items():
        before[place] = positions.pop(place, None)
        if position is not None:
            positions[place] = position
    return [{"op": "move", "positions": before}]


def _replace(document: Raw, op: Op, index: int) -> list[Op]:
    before = dict(document)
    document.clear()
    document.update(_copied(op["document"]))
    return [{"op": "replace", "document": before}]


_WORDS: dict[type, str] = {str: "text", dict: "an object"}
_EDGE_FIELDS: dict[str, type] = {"from": str, "to": str}
_EDGE_OPTIONS: dict[str, type] = {"port": str, "scope": str}
_HANDLERS: dict[str, tuple[Callable[[Raw, Op, int], list[Op]], dict[str, type], dict[str, type]]] = {
    "set_node": (_set_node, {"node": str, "value": dict}, {}),
    "remove_node": (_remove_node, {"node": str}, {}),
    "add_edge": (_add_edge, _EDGE_FIELDS, _EDGE_OPTIONS),
    "remove_edge": (_remove_edge, _EDGE_FIELDS, _EDGE_OPTIONS),
    "set_document": (_set_document, {"fields": dict}, {}),
    "move": (_move, {"positions": dict}, {}),
    "replace": (_replace, {"document": dict}, {}),
}
