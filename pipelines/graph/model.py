"""The parsed pipeline document: frozen values that the validator, the engine and the canvas all read.

`parse.parse` is the only maker. Every optional field carries its default here, so readers never repeat one.
Times are seconds, money is integer micro-dollars.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

Json = Any
DEFAULT_ALERTS = (0.5, 0.8, 1.0)


class Kind(StrEnum):
    INPUT = "input"
    OUTPUT = "output"
    AGENT = "agent"
    TOOL = "tool"
    DECIDE = "decide"
    EACH = "each"
    COMBINE = "combine"
    REPEAT = "repeat"
    TEAM = "team"
    SUPERVISOR = "supervisor"
    PIPELINE = "pipeline"
    HUMAN = "human"
    WAIT = "wait"
    TRANSFORM = "transform"
    CHECK = "check"
    BOARD = "board"


@dataclass(frozen=True, slots=True)
class Retry:
    max_attempts: int = 3
    first_delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    on: tuple[str, ...] = ("transient", "timeout")


@dataclass(frozen=True, slots=True)
class Repair:
    max_attempts: int = 2
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Fallback:
    """`kind` is model, agent or pipeline; `ref` names it."""

    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`inherits_fallback`: the step says nothing of `fallback`, so that it has what the document's `defaults` say."""

    retry: Retry = Retry()
    repair: Repair = Repair()
    fallback: tuple[Fallback, ...] = ()
    then: str = "auto"
    default: Json = None
    inherits_fallback: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Budget:
    """`None` means no cap. Seconds count machine time only (engine.md §1)."""

    max_cost_micros: int | None = None
    max_tokens: int | None = None
    max_llm_calls: int | None = None
    max_seconds: float | None = None
    alert_at: tuple[float, ...] = DEFAULT_ALERTS
    on_exceed: str = "stop"


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    port: str
    target: str


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `config` holds the kind's own fields (table in docs/format.md), defaults filled in."""

    id: str
    kind: Kind
    config: Mapping[str, Json]
    title: str = ""
    help: str = ""
    disabled: bool = False
    wait_for: str | int = "settled"
    on_failed_input: str = "propagate"
    output_schema: Json = None
    checks: tuple[Json, ...] = ()
    on_error: FailurePolicy = FailurePolicy()
    timeout: float = 120.0
    total_timeout: float | None = 900.0
    budget: Budget | None = None
    cache: Mapping[str, Json] | None = None
    lock: str | None = None
    graph: "Graph | None" = None

    @property
    def ports(self) -> tuple[str, ...]:
        """Return the ports an edge may leave from, in the order they are drawn."""
        return self.own_ports + (("error",) if self.on_error.then == "route" else ())

    @property
    def own_ports(self) -> tuple[str, ...]:
        match self.kind:
            case Kind.OUTPUT:
                return ()
            case Kind.DECIDE:
                named = [str(route["port"]) for route in self.config["routes"]]
                return tuple(dict.fromkeys([*named, str(self.config["otherwise"])]))
            case Kind.HUMAN:
                return ("approved", "rejected", "expired")
            case Kind.REPEAT:
                return ("done", "exhausted")
            case Kind.CHECK:
                return ("done", "fail")
            case Kind.WAIT:
                events = dict.fromkeys(f"event_{event['name']}" for event in self.events)
                timed = self.config.get("for") is not None or self.config.get("until") is not None
                timeout = self.config.get("timeout") is not None
                return (*events, *(("time",) if timed else ()), *(("timeout",) if timeout else ()))
            case _:
                return ("done",)

    @property
    def events(self) -> tuple[Mapping[str, Json], ...]:
        """Return the events that a Wait waits for."""
        found = self.config.get("event") or ()
        return tuple(found) if isinstance(found, list) else (found,) if found else ()

    @property
    def optional_ports(self) -> tuple[str, ...]:
        """Return the ports that are taken only where an edge leaves them; unwired, another way is gone."""
        return {Kind.REPEAT: ("exhausted",), Kind.CHECK: ("fail",)}.get(self.kind, ())

    @property
    def iterates(self) -> bool:
        """Tell whether further steps run inside this one: items, rounds, turns or delegations."""
        return self.kind in (Kind.EACH, Kind.REPEAT, Kind.TEAM, Kind.SUPERVISOR)

    @property
    def rubrics(self) -> tuple[Json, ...]:
        """Return the rules that a model must judge within an attempt: a Check's own, and those on an agent's answer."""
        rules = self.config["rules"] if self.kind is Kind.CHECK else self.checks if self.kind is Kind.AGENT else ()
        return tuple(rule for rule in rules if rule["rule"] == "ai_rubric")

    @property
    def output_rubrics(self) -> tuple[Json, ...]:
        """Return the rules on the output of any other step that a model must judge when it is there."""
        rules = () if self.kind is Kind.AGENT else self.checks
        return tuple(rule for rule in rules if rule["rule"] == "ai_rubric")


@dataclass(frozen=True)
class Graph:
    """A scope: a directed acyclic graph. `ins` and `outs` map a node to the indexes of its edges."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    ins: Mapping[str, tuple[int, ...]] = field(init=False, repr=False)
    outs: Mapping[str, tuple[int, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ins: dict[str, list[int]] = {name: [] for name in self.nodes}
        outs: dict[str, list[int]] = {name: [] for name in self.nodes}
        for index, edge in enumerate(self.edges):
            outs[edge.source].append(index)
            ins[edge.target].append(index)
        object.__setattr__(self, "ins", {name: tuple(found) for name, found in ins.items()})
        object.__setattr__(self, "outs", {name: tuple(found) for name, found in outs.items()})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Return the nodes so that each comes after all it waits for.

        Nodes on or behind a cycle are left out; `parse` refuses such a graph, so readers see all nodes.
        """
        waiting = {name: len(edges) for name, edges in self.ins.items()}
        ready = [name for name, count in waiting.items() if not count]
        for name in ready:
            for index in self.outs[name]:
                target = self.edges[index].target
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
        return tuple(ready)

    def ancestors(self, node: str) -> frozenset[str]:
        """Return every node from which `node` can be reached, without itself."""
        seen: set[str] = set()
        stack = [self.edges[index].source for index in self.ins[node]]
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(self.edges[index].source for index in self.ins[name])
        return frozenset(seen)


@dataclass(frozen=True, slots=True)
class Limits:
    max_depth: int = 5
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Who may answer an approval that no `human` node describes. `expires` is seconds."""

    roles: tuple[str, ...] = ("reviewer",)
    people: tuple[str, ...] = ()
    min_approvals: int = 1
    expires: float = 259_200.0
    on_expire: str = "reject"


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    name: str
    graph: Graph
    description: str = ""
    inputs: Json = None
    budget: Budget = Budget()
    limits: Limits = Limits()
    irreversible: ApprovalPolicy = ApprovalPolicy()
    pause_before: tuple[str, ...] = ()
    board: Mapping[str, Json] = field(default_factory=dict)
