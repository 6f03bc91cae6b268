"""Documents at the limits of the format: names, ports and titles as long as they may be, containers five deep."""

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

LONGEST_NAME, LONGEST_TITLE, LONGEST_KEY = 63, 200, 200
MOST_ROUTES = 50
CONTAINERS = ("each", "repeat", "each", "repeat", "each")


def long(name: str, length: int = LONGEST_NAME) -> str:
    """Return a name as long as a name may be."""
    return name.ljust(length, "x")


def stretched(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Return a random graph (`tests.engine.mixed`) whose names, ports, titles, locks and keys are at the limits."""
    text = re.sub(r"\b(n\d+|end\d+)\b", lambda found: long(found[1]), json.dumps(graph))
    text = re.sub(r'"(a|b|c)"', lambda found: f'"{long(found[1])}"', text)
    return _titled(json.loads(text))


def _titled(graph: dict[str, Any]) -> dict[str, Any]:
    for node in graph["nodes"].values():
        node["title"] = "T" * LONGEST_TITLE
        for name in ("lock", "key"):
            if name in node:
                node[name] = long(node[name], LONGEST_KEY)
        if "graph" in node:
            _titled(node["graph"])
    return graph


def a_deep_graph(**innermost: Any) -> dict[str, Any]:
    """Return a graph whose deepest steps, of every kind that leaves rows, stand in five containers.

    `innermost` are fields of the container around them, a For each.
    """
    graph = _chain(_deepest())
    for number, kind in enumerate(CONTAINERS):
        more = {} if number else innermost
        graph = _chain({f"{kind}{number}": {"kind": kind, "graph": graph, **_config(kind), **more}})
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "here"}}
    (name,) = graph["nodes"]
    nodes = {long(key): node for key, node in ends.items()} | graph["nodes"]
    edges = [{"from": long("start"), "to": name}, {"from": name, "to": long("end")}]
    return _titled({"nodes": nodes, "edges": edges})


def _config(kind: str) -> dict[str, Any]:
    return {"over": [1]} if kind == "each" else {"until": "true"}


def _deepest() -> dict[str, Any]:
    routes = [{"port": long(f"p{number}_"), "when": "true"} for number in range(MOST_ROUTES - 1)]
    return {
        "agent": {"kind": "agent", "agent": "writer@1", "prompt": "Write.", "lock": "lock"},
        "tool": {"kind": "tool", "tool": "crm.log@1", "args": {"note": "hello"}},
        "write": {"kind": "board", "op": "write", "key": "key", "value": "noted"},
        "publish": {"kind": "board", "op": "publish", "key": "key", "value": "noted"},
        "team": {"kind": "team", "task": "Talk.", "members": ["writer@1"], "stop": {"max_turns": 1}},
        "lead": {"kind": "supervisor", "task": "Lead.", "agent": "host@1", "workers": [{"agent": "writer@1"}]},
        "wait": {"kind": "wait", "event": [{"name": long("event"), "topic": "t" * LONGEST_KEY}], "timeout": "PT1S"},
        "send": {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}},
        "route": {"kind": "decide", "multi": True, "routes": routes, "otherwise": routes[0]["port"]},
    }


def _chain(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the graph of these steps, one after the other, by the longest names."""
    names = list(nodes)
    edges = []
    for source, target in pairwise(names):
        port = "timeout" if nodes[source]["kind"] == "wait" else "done"
        edges.append({"from": long(source), "port": port, "to": long(target)})
    return {"nodes": {long(name): dict(node) for name, node in nodes.items()}, "edges": edges}
