"""Random graphs of the other kinds: actions, checks, transforms, waits, boards, supervisors, caps and locks."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.graph.model import Document
from runs.engine.facts import StepSucceeded
from tests.engine.building import a_document
from tests.engine.meeting import Meeting
from tests.engine.test_properties import Scripted, a_random_graph

# What an agent of a random graph becomes, by the port it then leaves through. A write to the board says which version
# it made, so each step has a key of its own, and none is written inside a container.
KINDS: Mapping[str, str] = {
    "tool": "done",
    "transform": "done",
    "check": "done",
    "wait": "time",
    "board": "done",
    "supervisor": "done",
}


def a_mixed_case(seed: int, *, races: bool, stops: bool) -> Document:
    rng = random.Random(seed)
    limits = {"max_parallel": 2} if seed % 3 == 0 else {}
    return a_document(mixed(a_random_graph(rng, races=races, stops=stops), rng), limits=limits)


def mixed(graph: dict[str, Any], rng: random.Random, *, inside: bool = False) -> dict[str, Any]:
    """Return the graph with half of its agents turned into other kinds, some with a lock, some with caps."""
    for name, node in list(graph["nodes"].items()):
        if "graph" in node:
            mixed(node["graph"], rng, inside=True)
        if node["kind"] == "agent":
            graph["nodes"][name] = _drawn(name, node, rng, inside=inside)
            port = KINDS.get(graph["nodes"][name]["kind"], "done")
            for edge in graph["edges"]:
                if edge["from"] == name and edge["port"] == "done":
                    edge["port"] = port
    return graph


def _drawn(name: str, agent: Mapping[str, Any], rng: random.Random, *, inside: bool) -> dict[str, Any]:
    node = _turned(name, agent, rng, inside=inside) if rng.random() < 0.6 else dict(agent)
    if node["kind"] in ("agent", "tool", "supervisor"):
        node |= {"lock": rng.choice(("one", "two"))} if rng.random() < 0.3 else {}
        node |= {"budget": {"max_seconds": 3_600, "max_llm_calls": 500}} if rng.random() < 0.3 else {}
    return node


def _turned(name: str, agent: Mapping[str, Any], rng: random.Random, *, inside: bool) -> dict[str, Any]:
    kind = rng.choice([kind for kind in KINDS if kind != "board" or not inside])
    common = {key: agent[key] for key in ("on_failed_input", "wait_for")} | {"on_error": dict(agent["on_error"])}
    if kind not in ("tool", "supervisor"):  # they have no attempts, by which to tell what was done from what was given
        common["on_error"].pop("retry")
        if common["on_error"]["then"] == "ask_human":
            common["on_error"]["then"] = "skip"
    return {**common, "kind": kind, **_config(kind, name, rng)}


def _config(kind: str, name: str, rng: random.Random) -> dict[str, Any]:
    match kind:
        case "tool":
            return {"tool": "crm.log@1", "args": {"note": name}}
        case "transform":
            return {"set": {"x": rng.choice(("1 + 1", "input.missing"))}}
        case "check":
            return {"value": "hello", "rules": [{"rule": "length", "max": rng.choice((3, 9))}]}
        case "wait":
            return {"for": "PT1S"}
        case "board":
            return {"op": rng.choice(("write", "append")), "key": name, "value": "noted"}
        case _:
            mode = rng.choice(("step", "plan", "route_only"))
            return {"task": "Lead.", "agent": "host@1", "mode": mode, "workers": [{"agent": "writer@1"}]}


def leads(schema: Mapping[str, Any] | None, path: str) -> dict[str, Any] | None:
    """Return what a leader answers to a question of this shape (two tasks, then the end), None to any other."""
    fields = (schema or {}).get("properties", {})
    turn = int(path.rpartition("~")[2].partition(".")[0]) if "~" in path else 0
    if "action" in fields:
        tasks = [{"worker": "writer", "task": f"Task {number} of {turn}"} for number in (1, 2)]
        finish = {"reason": "So.", "action": "finish", "result": "All done."}
        return {"reason": "So.", "action": "delegate", "delegate": tasks} if turn == 1 else finish
    if "steps" in fields:
        first = {"id": "one", "worker": "writer", "task": f"Begin {turn}"}
        return {"reason": "So.", "steps": [first, {"id": "two", "worker": "writer", "task": "End", "uses": ["one"]}]}
    if "worker" in fields:
        return {"reason": "So.", "worker": "writer"}
    return {"reason": "So.", "result": "That is all."} if "result" in fields else None


class Mixed(Scripted, Meeting):
    """A run of mixed kinds, whose leaders lead, whose locks are handed out and whose attempts take a second each."""

    def outcome(self, start: Any) -> Any:
        fact = super().outcome(start)
        if isinstance(fact, StepSucceeded):
            answer = leads(start.node.output_schema, start.path) if start.node.id == "leader" else None
            fact = replace(fact, output=answer or fact.output, machine_ms=1_000)
        return fact
