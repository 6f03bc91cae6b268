"""One-click fixes: what Baton offers to do about a problem, as ops. Pure; each is a change like any other."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.editor.cloning import fresh
from pipelines.editor.desk import node_at, scope_of
from pipelines.graph.parse import parse
from pipelines.graph.problems import Problem
from pipelines.ops import Op

Raw = dict[str, Any]
DEFAULT_CAP = "1.00"
_HOLE = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Fix:
    """What the button says, and the ops behind it."""

    label: str
    ops: list[Op]


def fix_of(problem: Problem, document: Raw) -> Fix | None:
    """Return the fix of a problem; None where only a person can say what is right."""
    builder = _FIXES.get(problem.code)
    if builder is None:
        return None
    try:
        return builder(problem, document)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration):
        return None  # the document is not as this fix expects it


def _cap(problem: Problem, document: Raw) -> Fix:
    budget = {**(document.get("budget") or {}), "max_cost_usd": DEFAULT_CAP}
    return Fix(f"Stop runs at ${DEFAULT_CAP}", [{"op": "set_document", "fields": {"budget": budget}}])


def _guard(problem: Problem, document: Raw) -> Fix:
    """Put a person before the action, on every way that leads to it."""
    place = str(problem.node)
    scope, _, name = place.rpartition(".")
    graph = scope_of(document, scope)
    asking = fresh(f"approve_{name}"[:50], graph["nodes"])
    title = graph["nodes"][name].get("title") or name.replace("_", " ")
    person = {"kind": "human", "mode": "approve", "title": f"Approve: {title}"[:200], "guards": name}
    ways = [edge for edge in graph["edges"] if edge["to"] == name]
    dotted = f"{scope}.{asking}" if scope else asking
    return Fix(
        "Add an approval",
        [
            {"op": "set_node", "node": dotted, "value": person},
            *({"op": "remove_edge", "scope": scope, **edge} for edge in ways),
            *({"op": "add_edge", "scope": scope, **edge, "to": asking} for edge in ways),
            {"op": "add_edge", "scope": scope, "from": asking, "port": "approved", "to": name},
        ],
    )


def _dead_end(problem: Problem, document: Raw) -> Fix:
    """Let the step lead to the Result of its scope, or give it one."""
    place = str(problem.node)
    scope, _, name = place.rpartition(".")
    graph = scope_of(document, scope)
    if scope:
        raise KeyError(place)
    port = {"human": "approved", "wait": "time"}.get(graph["nodes"][name]["kind"], "done")
    edge = {"from": name} | ({} if port == "done" else {"port": port})
    results = [key for key, node in graph["nodes"].items() if node["kind"] == "output"]
    if results:
        return Fix("Lead it to the Result", [{"op": "add_edge", "scope": scope, **edge, "to": results[0]}])
    result = fresh("result", graph["nodes"])
    node = {"kind": "output", "title": "Result", "value": f"${{steps.{name}.output}}"}
    ops: list[Op] = [{"op": "set_node", "node": result, "value": node}]
    return Fix("Add a Result after it", [*ops, {"op": "add_edge", "scope": scope, **edge, "to": result}])


def _remove(problem: Problem, document: Raw) -> Fix:
    node_at(document, str(problem.node))
    return Fix("Remove the step", [{"op": "remove_node", "node": str(problem.node)}])


def _start(problem: Problem, document: Raw) -> Fix:
    """Add a Start that leads to every step to which nothing leads."""
    graph = document["graph"]
    start = fresh("start", graph["nodes"])
    reached = {edge["to"] for edge in graph["edges"]}
    firsts = [name for name in graph["nodes"] if name not in reached]
    ops: list[Op] = [{"op": "set_node", "node": start, "value": {"kind": "input", "title": "Start"}}]
    return Fix("Add a Start", ops + [{"op": "add_edge", "from": start, "to": name} for name in firsts])


def _result(problem: Problem, document: Raw) -> Fix:
    """Add a Result after the last step that nothing follows."""
    graph = document["graph"]
    left = {edge["from"] for edge in graph["edges"]}
    last = [name for name, node in graph["nodes"].items() if name not in left and node["kind"] != "output"][-1]
    return _dead_end(Problem("dead_end", "warning", "", last, ""), document)


def _default(problem: Problem, document: Raw) -> Fix:
    """Give the one value that a text reads an empty default."""
    place = str(problem.node)
    node = copy.deepcopy(node_at(document, place))
    *way, last = problem.where.split(f"/nodes/{place.rpartition('.')[2]}/", 1)[1].split("/")
    holder: Any = node
    for part in way:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    key: Any = int(last) if isinstance(holder, list) else last
    holes = _HOLE.findall(holder[key])
    if len(holes) != 1 or "|" in holes[0]:
        raise KeyError(problem.where)
    holder[key] = holder[key].replace(holes[0], f"{holes[0][:-1].rstrip()} | default('')}}")
    return Fix("Use nothing where it is missing", [{"op": "set_node", "node": place, "value": node}])


def _newest(problem: Problem, document: Raw) -> Fix:
    """Name an agent, tool or pipeline without its version, which means the newest."""
    node = copy.deepcopy(node_at(document, str(problem.node)))
    name = problem.where.rpartition("/")[2]
    slug, _, version = node[name].partition("@")
    if not version:
        raise KeyError(name)
    node[name] = slug
    return Fix("Use the newest version", [{"op": "set_node", "node": str(problem.node), "value": node}])


def _unwired(problem: Problem, document: Raw) -> Fix:
    """Lead a way that leads nowhere to a Result of its own."""
    place = str(problem.node)
    graph = scope_of(document, "")
    ports = parse(document).graph.nodes[place].ports
    wired = {edge.get("port", "done") for edge in graph["edges"] if edge["from"] == place}
    port = next(port for port in ports if port not in wired and port in problem.message)
    result = fresh(f"{port}_result", graph["nodes"])
    title = port.replace("_", " ").capitalize()
    return Fix(
        f"Add a Result for “{port.replace('_', ' ')}”",
        [
            {"op": "set_node", "node": result, "value": {"kind": "output", "title": title, "value": title}},
            {"op": "add_edge", "from": place, "port": port, "to": result},
        ],
    )


_FIXES: Mapping[str, Callable[[Problem, Raw], Fix]] = {
    "no_cap": _cap,
    "unguarded_irreversible": _guard,
    "dead_end": _dead_end,
    "not_connected": _remove,
    "no_input": _start,
    "no_output": _result,
    "needs_default": _default,
    "optional_input": _default,
    "unknown_agent": _newest,
    "unknown_tool": _newest,
    "unknown_pipeline": _newest,
    "unwired_port": _unwired,
}
