"""Outputs given by hand: such a step ends with what a person wrote when its turn comes, and is not carried out."""

from collections.abc import Iterator

from pipelines.graph import schemas
from pipelines.graph.lock import Lock
from pipelines.graph.model import Graph, Json, Kind, Node
from pipelines.graph.problems import Refusal
from runs.engine import failing, settling
from runs.engine.completing import complete
from runs.engine.decision import StepRecord
from runs.engine.facts import StepError, StepSucceeded
from runs.engine.kinds import route
from runs.engine.move import Move
from runs.engine.scope import Scope, Step
from runs.engine.trust import EDITED

GIVEN = "given"
# A person's consent comes from the desk, and a Result from the steps before it.
NOT_BY_HAND = frozenset({Kind.HUMAN, Kind.OUTPUT})


def give(move: Move, step: Step) -> None:
    """End a step with the output that a person gave for it."""
    value = step.record.memo.pop(GIVEN)
    settling.flag(step, EDITED)
    ports = step.node.own_ports[:1]
    if step.node.kind is Kind.DECIDE:
        chosen = _chosen(step, value)
        if isinstance(chosen, StepError):
            failing.give_up(move, step, chosen)
            return
        ports, value = chosen
    complete(move, step, value, ports=ports)


def findings(node: Node, lock: Lock, value: Json) -> Iterator[str]:
    """Yield what keeps a value from being this step's output, as far as it can be seen before the run."""
    if node.kind is Kind.DECIDE:
        alone = Step(Scope.of(Graph({node.id: node}, ())), node, StepRecord(node.id, node.id, node.kind))
        chosen = _chosen(alone, value)
        if isinstance(chosen, StepError):
            yield chosen.message
    schema = node.output_schema
    if schema is None and node.kind is Kind.AGENT:
        schema = lock.agent(str(node.config["agent"])).output_schema
    if schema is not None:
        try:
            yield from (f"{found.pointer or '/'}: {found.message}" for found in schemas.findings(schema, value))
        except Refusal as refusal:
            yield refusal.message


def _chosen(step: Step, value: Json) -> tuple[tuple[str, ...], Json] | StepError:
    return route.chosen_by_model(step, StepSucceeded(step.path, step.record.attempt, value))


def is_by_hand(record: StepRecord) -> bool:
    """Tell whether the output of a step is, or will be, a person's."""
    return EDITED in record.flags or GIVEN in record.memo
