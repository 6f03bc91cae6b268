"""What trying one step costs at most, as far as it is known before."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounts.models import Workspace
from pipelines.graph import expressions
from pipelines.graph.expressions import ExpressionError
from pipelines.graph.model import Json, Kind, Node
from pipelines.graph.reading import Path
from pipelines.graph.rules.subject import Subject
from pipelines.library.models import is_simulated
from pipelines.library.prices import price
from runs import step_data
from runs.agent_bench import CAP_MICROS, most_of_call

NOTHING, ONE, SEVERAL, UNKNOWN = "nothing", "one", "several", "unknown"
_AROUND = " " * 400
"""Room for what is said around untrusted values and about tools."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`kind`: nothing is paid for; one call is, for at most `call_micros`; several are; the price is not known.

    Repairs and retries come on top; a test stops at `cap_micros`.
    """

    kind: str = NOTHING
    call_micros: int | None = None
    cap_micros: int = CAP_MICROS
    model: str = ""

    @property
    def is_simulated(self) -> bool:
        return bool(self.model) and is_simulated(self.model)


def estimate(subject: Subject, workspace: Workspace, node: Node, values: Mapping[Path, Json]) -> Estimate:
    """Return what trying a step with these values costs. One query for an agent's price."""
    own = node.budget.max_cost_micros if node.budget else None
    if node.kind is not Kind.AGENT:
        return Estimate(NOTHING if _is_free(node) else SEVERAL, cap_micros=own or CAP_MICROS)
    agent = subject.agent(str(node.config["agent"]))
    if agent is None:
        return Estimate(UNKNOWN)
    model = str(node.config.get("model") or agent.model)
    known = price(workspace, model)
    if known is None:
        return Estimate(UNKNOWN, model=model)
    words = [agent.role, agent.goal, agent.instructions, agent.output_schema, node.output_schema, _AROUND]
    most = most_of_call(known, [*words, _prompt(node, values)], agent.max_output)
    has_more = bool(agent.tools) or bool(node.rubrics)
    cap = own or agent.max_cost_micros or max(CAP_MICROS, 3 * most)
    return Estimate(SEVERAL if has_more else ONE, most, cap, model)


def _prompt(node: Node, values: Mapping[Path, Json]) -> Json:
    """Return what is asked; where a value is missing, the text with its gaps and what there is."""
    template, given = node.config["prompt"], step_data.nested(values)
    try:
        return expressions.render(template, given)
    except ExpressionError:
        return [template, given]


def _is_free(node: Node) -> bool:
    if node.output_rubrics:
        return False
    match node.kind:
        case Kind.TOOL | Kind.TRANSFORM | Kind.BOARD:
            return True
        case Kind.DECIDE:
            return bool(node.config["mode"] == "rules")
        case Kind.CHECK:
            return not node.rubrics
        case _:
            return False
