"""Reads a pipeline document into the model, or refuses it with a code, a sentence and the place."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.graph import hygiene
from pipelines.graph.common import BUDGET, COMMON
from pipelines.graph.composite import Field, Record
from pipelines.graph.kinds import CONTAINERS, DOCUMENT, FIELDS, UNTIMED
from pipelines.graph.model import (
    ApprovalPolicy,
    Budget,
    Document,
    Edge,
    FailurePolicy,
    Fallback,
    Graph,
    Json,
    Kind,
    Limits,
    Node,
    Repair,
    Retry,
)
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.shape import NAME_PATTERN, Text, wrong_type

FORMAT = "baton.pipeline"
FORMAT_MAJOR = "1"
MAX_NODES = 2_000
MAX_EDGES = 10_000
MAX_NESTING = 5
TIMEOUT = 120.0
TOTAL_TIMEOUT = 900.0
SLUG = Text(63, 1, r"^[a-z][a-z0-9_-]{0,62}$", "a name of small letters, digits, - and _ that begins with a letter")
NODE_NAME = Text(63, 1, NAME_PATTERN, "a name of small letters, digits and _ that begins with a letter")
PORT = Text(80, 1)
EDGE = Record({"from": Field(NODE_NAME, required=True), "port": Field(PORT), "to": Field(NODE_NAME, required=True)})
_HEADER = {
    "format": Field(Text(), required=True),
    "format_version": Field(Text(20, 1, r"^[0-9]+\.[0-9]+$", 'a version such as "1.0"'), required=True),
    "id": Field(SLUG, required=True),
}
_RECORD = Record({**_HEADER, **DOCUMENT})


def parse_text(raw: bytes | str, max_bytes: int = hygiene.MAX_BYTES) -> Document:
    """Return the document of a JSON text of at most `max_bytes`; raise Refusal."""
    return parse(hygiene.load(raw, max_bytes))


def parse(data: Json) -> Document:
    """Return the document with every default filled in; raise Refusal (shape, limits, names, ports, cycles)."""
    hygiene.check(data)
    if not isinstance(data, dict):
        wrong_type("a pipeline document", data, "")
    _check_format(data)
    if "graph" not in data:
        raise Refusal("missing_key", "The field 'graph' is missing here.")
    found = _RECORD.read({name: value for name, value in data.items() if name != "graph"}, "")
    graph = _Reader(found["defaults"]).graph(data["graph"], "/graph", 0)
    irreversible = found["approvals"].get("irreversible")
    document = Document(
        id=found["id"],
        name=found["name"],
        graph=graph,
        description=found["description"],
        inputs=found["inputs"],
        budget=_budget(found["budget"]) or Budget(),
        limits=Limits(**found["limits"]) if found["limits"] else Limits(),
        irreversible=_approval_policy(irreversible) if irreversible else ApprovalPolicy(),
        pause_before=tuple(found["pause_before"]),
        board=found["board"] or {},
    )
    _check_pauses(document)
    return document


def step(name: str, raw: Json) -> Node:
    """Return one step as a document without `defaults` would have it; raise Refusal."""
    return _Reader({}).node(name, raw, "", 0)


def _check_format(data: Mapping[str, Json]) -> None:
    if data.get("format", FORMAT) != FORMAT:
        message = f"The format must be {FORMAT!r}, not {shown(data['format'])}."
        raise Refusal("unknown_format", message, "/format")
    version = data.get("format_version")
    if isinstance(version, str) and "." in version and version.partition(".")[0] != FORMAT_MAJOR:
        message = f"This is format version {shown(version)}; this installation reads version {FORMAT_MAJOR}."
        raise Refusal("unknown_format_version", message, "/format_version")


def _check_pauses(document: Document) -> None:
    for index, place in enumerate(document.pause_before):
        graph: Graph | None = document.graph
        for name in place.split("."):
            node = graph.nodes.get(name) if graph else None
            if node is None:
                raise Refusal("unknown_node", f"There is no step {shown(place)}.", f"/pause_before/{index}")
            graph = node.graph


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads graphs under the document's `defaults`."""

    defaults: Mapping[str, Json]

    def graph(self, data: Json, where: str, nesting: int) -> Graph:
        if nesting > MAX_NESTING:
            raise Refusal("too_deep", f"Containers may be nested {MAX_NESTING} deep.", where)
        raw_nodes, raw_edges = _graph_parts(data, where)
        nodes = {name: self.node(name, raw, pointer(where, "nodes", name), nesting) for name, raw in raw_nodes.items()}
        edges = tuple(_edge(raw, nodes, f"{where}/edges/{index}") for index, raw in enumerate(raw_edges))
        _refuse_repeated(edges, where)
        graph = Graph(nodes, edges)
        _refuse_cycle(graph, where)
        return graph

    def node(self, name: str, raw: Json, where: str, nesting: int) -> Node:
        NODE_NAME.read(name, where)
        kind = _kind(raw, where)
        inner: Graph | None = None
        if kind in CONTAINERS:
            if "graph" not in raw:
                raise Refusal("missing_key", "The field 'graph' is missing here.", where)
            inner = self.graph(raw["graph"], f"{where}/graph", nesting + 1)
        structure = ("kind", "graph") if kind in CONTAINERS else ("kind",)
        values = node_record(kind).read({key: raw[key] for key in raw if key not in structure}, where)
        # `wait` has a `timeout` of its own, which hides the common one.
        shared = {key: values.get(key) for key in COMMON if key not in FIELDS[kind]}
        config = {key: values[key] for key in FIELDS[kind]}
        if inner and config["result"] is None:
            config["result"] = _last_output(inner)
        return self._assembled(Node(name, kind, config, graph=inner), shared)

    def _assembled(self, node: Node, shared: Mapping[str, Json]) -> Node:
        tolerant = "tolerate" if node.kind is Kind.COMBINE else "propagate"
        total = None if node.kind in UNTIMED else _first(self.defaults.get("total_timeout"), TOTAL_TIMEOUT)
        return Node(
            id=node.id,
            kind=node.kind,
            config=node.config,
            title=shared["title"],
            help=shared["help"],
            disabled=shared["disabled"],
            wait_for=shared["wait_for"],
            on_failed_input=shared["on_failed_input"] or tolerant,
            output_schema=shared["output_schema"],
            checks=tuple(shared["checks"]),
            on_error=_policy(self.defaults.get("on_error") or {}, shared["on_error"]),
            timeout=_first(shared.get("timeout"), self.defaults.get("timeout"), TIMEOUT),
            total_timeout=_first(shared["total_timeout"], total),
            budget=_budget(shared["budget"]),
            cache=shared["cache"],
            lock=shared["lock"],
            graph=node.graph,
        )


@functools.cache
def node_record(kind: Kind) -> Record:
    """Return the closed record of a kind: its own fields and the common ones, without `kind` and `graph`."""
    return Record({**COMMON, **FIELDS[kind]})


def _graph_parts(data: Json, where: str) -> tuple[dict[str, Json], list[Json]]:
    if not isinstance(data, dict):
        wrong_type("a graph with nodes and edges", data, where)
    for key in data:
        if key not in ("nodes", "edges"):
            message = f"There is no field {shown(key)} here. Known are: edges, nodes."
            raise Refusal("unknown_key", message, pointer(where, key))
    for key, expected in (("nodes", dict), ("edges", list)):
        if key not in data:
            raise Refusal("missing_key", f"The field {key!r} is missing here.", where)
        if not isinstance(data[key], expected):
            wrong_type("an object" if expected is dict else "a list", data[key], f"{where}/{key}")
    if len(data["nodes"]) > MAX_NODES:
        message = f"This graph has {len(data['nodes']):,} steps; at most {MAX_NODES:,} are allowed."
        raise Refusal("too_many_nodes", message, f"{where}/nodes")
    if len(data["edges"]) > MAX_EDGES:
        message = f"This graph has {len(data['edges']):,} edges; at most {MAX_EDGES:,} are allowed."
        raise Refusal("too_many_edges", message, f"{where}/edges")
    return data["nodes"], data["edges"]


def _kind(raw: Json, where: str) -> Kind:
    if not isinstance(raw, dict):
        wrong_type("a step", raw, where)
    if "kind" not in raw:
        raise Refusal("missing_key", "The field 'kind' is missing here.", where)
    try:
        return Kind(raw["kind"])
    except ValueError:
        message = f"{shown(raw['kind'])} is no kind of step. Known are: {', '.join(Kind)}."
        raise Refusal("bad_value", message, f"{where}/kind") from None


def _edge(raw: Json, nodes: Mapping[str, Node], where: str) -> Edge:
    found = EDGE.read(raw, where)
    for end in ("from", "to"):
        if found[end] not in nodes:
            raise Refusal("unknown_node", f"There is no step {found[end]!r} in this graph.", f"{where}/{end}")
    source = nodes[found["from"]]
    port = found["port"] or "done"
    if port not in source.ports:
        ports = f"Its ports are: {', '.join(source.ports)}." if source.ports else "No edge may leave it."
        at = f"{where}/port" if found["port"] else where
        raise Refusal("unknown_port", f"The step {source.id!r} has no port {shown(port)}. {ports}", at)
    return Edge(found["from"], port, found["to"])


def _refuse_repeated(edges: tuple[Edge, ...], where: str) -> None:
    seen: set[Edge] = set()
    for index, edge in enumerate(edges):
        if edge in seen:
            message = f"The edge from {edge.source!r} ({edge.port}) to {edge.target!r} is drawn twice."
            raise Refusal("duplicate_edge", message, f"{where}/edges/{index}")
        seen.add(edge)


def _refuse_cycle(graph: Graph, where: str) -> None:
    if len(graph.order) == len(graph.nodes):
        return
    cycle = _cycle(graph)
    closing = next(i for i, e in enumerate(graph.edges) if (e.source, e.target) == (cycle[-2], cycle[-1]))
    drawn = cycle if len(cycle) <= 10 else [*cycle[:8], "…", cycle[-1]]
    message = f"These steps wait for each other: {' → '.join(drawn)}. Use Repeat for what runs again."
    raise Refusal("cycle", message, f"{where}/edges/{closing}")


def _cycle(graph: Graph) -> list[str]:
    """Return one cycle, first step repeated at the end: backwards among the steps that no order can place."""
    stuck = set(graph.nodes).difference(graph.order)
    name = next(iter(sorted(stuck)))
    trail: list[str] = []
    while name not in trail:
        trail.append(name)
        name = next(source for index in graph.ins[name] if (source := graph.edges[index].source) in stuck)
    return [name, *reversed(trail[trail.index(name) :])]


def _last_output(graph: Graph) -> Json:
    """Return the template of a container's value when its author named none: the only last step's output."""
    last = [name for name in graph.nodes if not graph.outs[name]]
    return f"${{steps.{last[0]}.output}}" if len(last) == 1 else None


def _policy(base: Mapping[str, Json], own: Mapping[str, Json]) -> FailurePolicy:
    retry = {**base.get("retry", {}), **own.get("retry", {})}
    if "on" in retry:
        retry["on"] = tuple(retry["on"])
    fallback = own.get("fallback", base.get("fallback", ()))
    return FailurePolicy(
        retry=Retry(**retry),
        repair=Repair(**{**base.get("repair", {}), **own.get("repair", {})}),
        fallback=tuple(Fallback(*next(iter(entry.items()))) for entry in fallback),
        then=own.get("then", base.get("then", "auto")),
        default=own.get("default", base.get("default")),
        inherits_fallback="fallback" not in own,
    )


def read_budget(raw: Json) -> Budget:
    """Return the caps of a document's `budget`, none where it has none; raise Refusal."""
    return _budget(BUDGET.read(raw or {}, "/budget")) or Budget()


def _budget(found: Mapping[str, Json] | None) -> Budget | None:
    if found is None:
        return None
    rest = {key: value for key, value in found.items() if key not in ("max_cost_usd", "alert_at")}
    return Budget(max_cost_micros=found["max_cost_usd"], alert_at=tuple(found["alert_at"]), **rest)


def _approval_policy(found: Mapping[str, Json]) -> ApprovalPolicy:
    lists = {"roles": tuple(found["roles"]), "people": tuple(found["people"])}
    return ApprovalPolicy(**{**found, **lists})


def _first(*values: Json) -> Json:
    return next((value for value in values if value is not None), None)
