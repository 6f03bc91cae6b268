"""For each with `spread`: an item is one step, `run`, which a child run carries out, so that any worker may own it.

The child runs the graph of the For each itself, with what its steps read of the run around it as its input.
"""

from collections.abc import Iterator

from pipelines.graph.expressions import ExpressionError, expression_references, references
from pipelines.graph.model import Graph, Json, Kind, Node
from pipelines.graph.places import Place, within
from pipelines.graph.rules.references import holes
from runs.engine import trust, values
from runs.engine.decision import StepRecord
from runs.engine.facts import ErrorClass
from runs.engine.scope import Outcome, Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState

ITEM = "run"
# Why an item or round failed in which nothing else did: a person stopped it.
STOPPED_WITH_ALL = "stopped_with_all"
BOARD = "board"
SKIPPED, STOPS_RUN = "item_skipped", "stop_run"
_CONFIG = {"pipeline": "", "inputs": {}, "detached": False, "share_board": False}


def is_spread(node: Node) -> bool:
    return node.kind is Kind.EACH and bool(node.config["spread"])


def is_item(step: Step) -> bool:
    """Tell whether a step stands for a whole item of a For each that is spread."""
    return step.scope.container is not None and is_spread(step.scope.container.node)


def graph_in(node: Node) -> Graph | None:
    """Return the graph of one item or round as the run that holds the container sees it, None for other kinds."""
    if not is_spread(node):
        return node.graph
    only = Node(ITEM, Kind.PIPELINE, _CONFIG, title=node.title, total_timeout=None)
    return Graph({ITEM: only}, ())


def outcome_of(scope: Scope) -> Outcome:
    """Return how an item ended, from its one step."""
    record = scope.steps[ITEM].record
    if record.state is StepState.CANCELLED:  # somebody stopped it
        return Outcome("failed", error=stopped(record))
    if record.state is not StepState.SUCCEEDED:
        return Outcome("failed", error=record.error)
    if isinstance(record.meta, dict) and record.meta.get("reason") == SKIPPED:
        return Outcome("skipped")
    return Outcome("succeeded", record.output)


def stopped(record: StepRecord) -> Json:
    """Return the error of an item, round or turn in which somebody stopped this step."""
    return {"class": ErrorClass.DENIED, "code": STOPPED_WITH_ALL, "message": record.meta["message"]}


def surroundings(run: Execution, step: Step) -> tuple[dict[str, Json], dict[str, str]]:
    """Return what the steps of an item read of the run around it, and whose words those values are, by name.

    The values are {"input": {…}, "steps": {…}, "item": …}: only what some template or expression names.
    """
    container = step.scope.container
    if container is None:
        raise ValueError(f"{step.path} is no item.")
    if container.place not in run.needs:
        run.needs[container.place] = frozenset(_needs(container))
    names = run.needs[container.place] - {BOARD}  # that is shared, not handed over
    return values.around_item(run, step.scope, names), trust.of_names(step.scope, names)


def shares_board(run: Execution, step: Step) -> bool:
    """Tell whether the item that a step stands for uses the board; ask after its `surroundings`."""
    container = step.scope.container
    return container is not None and BOARD in run.needs[container.place]


def _needs(container: Step) -> Iterator[str]:
    """Yield what the graph of a container names of the run around it: "item", "input.topic", "steps.research"."""
    node = container.node
    graph = node.graph or Graph({}, ())
    for place in within(graph, Place(container.place, "", node, container.scope.graph)):
        if place.node.kind is Kind.BOARD:
            yield BOARD
        for hole in holes(place):
            yield from _named(graph, hole.form, hole.value)
    yield from _named(graph, "template", node.config["result"])


def _named(graph: Graph, form: str, value: Json) -> Iterator[str]:
    try:
        found = references(value) if form == "template" else expression_references(value)
    except ExpressionError:
        return
    for reference in found:
        name = str(reference.segments[0]) if reference.segments else ""
        if reference.root == "input":
            yield f"input.{name}" if name else "input"
        elif reference.root == "steps":
            if name not in graph.nodes:
                yield f"steps.{name}"
        else:
            yield reference.root
