"""Structure: a start and a result, no loose ends, joins and routes that can work."""

from collections.abc import Iterator

from pipelines.graph.model import Graph, Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.references import RESERVED
from pipelines.graph.rules.subject import Subject, named, problem

_TOP_ONLY = (Kind.INPUT, Kind.OUTPUT)


def check_structure(subject: Subject) -> Iterator[Problem]:
    """Yield what is wrong with how the steps hang together."""
    yield from _ends(subject)
    yield from _loose(subject)
    for place in subject.places:
        yield from _join(place)
        yield from _ports(place)
        if place.parent and place.node.kind in _TOP_ONLY:
            message = f"{named(place)} belongs to the pipeline's own graph, not inside a container."
            yield problem(place, "error", "misplaced_step", message, "kind")
    for place in subject.of_kind(Kind.DECIDE):
        yield from _routes(place)
    for place in subject.of_kind(Kind.EACH, Kind.REPEAT):
        yield from _container(place)
    for place in subject.of_kind(Kind.REPEAT):
        yield from _rounds(place)
    for place in subject.of_kind(Kind.COMBINE):
        yield from _preferred(place)


def _ends(subject: Subject) -> Iterator[Problem]:
    top = [place for place in subject.places if place.parent is None]
    starts = [place for place in top if place.node.kind is Kind.INPUT]
    if not any(place.node.kind is Kind.OUTPUT for place in top):
        message = "This pipeline has no Result step, so a run would end with nothing. Add one."
        yield Problem("no_output", "error", "/graph/nodes", None, message)
    if not starts:
        message = "This pipeline has no Start step. Add one to show where it begins and what it is given."
        yield Problem("no_input", "warning", "/graph/nodes", None, message)
    for place in starts[1:]:
        yield problem(place, "error", "second_input", "There is a second Start step. Keep one.", "kind")
    for place in starts:
        if place.graph.ins[place.node.id]:
            yield problem(place, "error", "input_not_first", "Nothing can come before the Start step.")


def _loose(subject: Subject) -> Iterator[Problem]:
    graph = subject.document.graph
    leading = _leading_to_output(graph)
    has_start = any(node.kind is Kind.INPUT for node in graph.nodes.values())
    for place in subject.places:
        node = place.node
        if place.parent or node.kind in _TOP_ONLY:
            continue
        if node.id not in leading and not graph.outs[node.id]:
            message = f"Nothing comes after {named(place)}, so its output reaches no Result."
            yield problem(place, "warning", "dead_end", message)
        if has_start and not graph.ins[node.id]:
            message = f"No line leads to {named(place)}, so it runs at once when the run starts."
            yield problem(place, "warning", "not_connected", message)


def _leading_to_output(graph: Graph) -> set[str]:
    leading = {name for name, node in graph.nodes.items() if node.kind is Kind.OUTPUT}
    for name in reversed(graph.order):
        if any(graph.edges[index].target in leading for index in graph.outs[name]):
            leading.add(name)
    return leading


def _join(place: Place) -> Iterator[Problem]:
    node, edges = place.node, len(place.graph.ins[place.node.id])
    for field, wanted in (("wait_for", node.wait_for), ("min_ok", node.config.get("min_ok", 1))):
        if isinstance(wanted, int) and wanted > max(edges, 1):
            message = f"{named(place)} waits for {wanted} branches, but {edges} lead to it."
            yield problem(place, "error", "impossible_join", message, field)
    early = 1 if node.wait_for == "first" else node.wait_for
    if isinstance(early, int) and node.config.get("min_ok", 1) > early:
        message = f"{named(place)} goes on with {early} of its branches, so that more must arrive never counts."
        yield problem(place, "warning", "unused_minimum", message, "min_ok")


def _ports(place: Place) -> Iterator[Problem]:
    wired = {place.graph.edges[index].port for index in place.graph.outs[place.node.id]}
    wanted: tuple[str, ...] = ()
    if place.node.kind in (Kind.DECIDE, Kind.WAIT):
        wanted = place.node.own_ports
    elif place.node.kind is Kind.HUMAN:
        wanted = ("approved",)
    if place.node.on_error.then == "route":
        wanted = (*wanted, "error")
    for port in wanted:
        if port not in wired:
            message = f"The port {port!r} of {named(place)} leads nowhere: what takes it ends there."
            yield problem(place, "warning", "unwired_port", message)


def _routes(place: Place) -> Iterator[Problem]:
    config = place.node.config
    if not config["routes"]:
        yield problem(place, "error", "no_routes", f"{named(place)} has no route. Add one.", "routes")
    if config["mode"] == "ai":
        if not config["agent"] and not config["model"]:
            message = f"{named(place)} decides by AI: choose an agent or a model for it."
            yield problem(place, "error", "missing_agent", message)
        return
    for index, route in enumerate(config["routes"]):
        if not route["when"]:
            message = f"The route to {route['port']!r} has no condition."
            yield problem(place, "error", "missing_condition", message, "routes", index)


def _container(place: Place) -> Iterator[Problem]:
    config, graph = place.node.config, place.node.graph
    if graph is None or not graph.nodes:
        yield problem(place, "error", "empty_container", f"{named(place)} holds no step.", "graph", "nodes")
    elif config["result"] is None:
        message = f"{named(place)} ends in several steps. Say in result which value counts."
        yield problem(place, "error", "missing_result", message)
    if place.node.kind is Kind.EACH and config["as"] in RESERVED:
        message = f"{config['as']!r} already means something else. Choose another name for the item."
        yield problem(place, "error", "reserved_name", message, "as")


def _rounds(place: Place) -> Iterator[Problem]:
    config = place.node.config
    if not config["until"]:
        wired = {place.graph.edges[index].port for index in place.graph.outs[place.node.id]}
        if "exhausted" in wired or config["on_exhausted"] == "fail":
            message = f"{named(place)} has no condition, so it is done after its last round and never 'exhausted'."
            yield problem(place, "warning", "missing_condition", message, "until")
    if config["on_exhausted"] == "best" and not config["best_by"] and not config["no_progress"]:
        message = f"Say in best_by what makes a round of {named(place)} the best."
        yield problem(place, "error", "missing_best", message, "best_by")


def _preferred(place: Place) -> Iterator[Problem]:
    sources = {place.graph.edges[index].source for index in place.graph.ins[place.node.id]}
    for index, name in enumerate(place.node.config["prefer"]):
        if name not in sources:
            message = f"{name!r} does not lead to {named(place)}, so it cannot be preferred."
            yield problem(place, "error", "unknown_step", message, "prefer", index)
