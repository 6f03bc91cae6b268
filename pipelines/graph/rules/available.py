"""What the engine runs today. The format knows more: the rest can be drawn and saved, not published."""

from collections.abc import Iterator, Mapping

from pipelines.graph.model import Json, Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, problem

RUNNABLE = frozenset(
    {
        Kind.INPUT,
        Kind.OUTPUT,
        Kind.AGENT,
        Kind.TOOL,
        Kind.DECIDE,
        Kind.COMBINE,
        Kind.TRANSFORM,
        Kind.HUMAN,
        Kind.EACH,
        Kind.REPEAT,
        Kind.TEAM,
        Kind.SUPERVISOR,
        Kind.CHECK,
        Kind.WAIT,
        Kind.BOARD,
        Kind.PIPELINE,
    }
)
# Values of a field that the engine does not carry out yet.
_NOT_YET: Mapping[tuple[Kind, str], tuple[Json, ...]] = {
    (Kind.PIPELINE, "share_board"): (True,),
}


def check_available(subject: Subject) -> Iterator[Problem]:
    """Yield an error for each kind, and each choice within a step, that cannot run yet."""
    for place in subject.places:
        kind = place.node.kind
        if kind in RUNNABLE:
            yield from _choices(place)
        else:
            message = f"Steps of the kind {kind!s} cannot run yet. Save the draft, or build it from other steps."
            yield problem(place, "error", "kind_not_available", message, "kind")


def _choices(place: Place) -> Iterator[Problem]:
    node = place.node
    for (kind, field), values in _NOT_YET.items():
        if node.kind is kind and node.config[field] in values:
            message = f"{field} {node.config[field]!r} cannot run yet. Choose another."
            yield problem(place, "error", "not_available", message, field)
    for index, rule in enumerate(node.checks):
        if rule["rule"] == "ai_rubric" and node.kind is not Kind.AGENT:
            message = "Only an agent's output is judged on the step itself. Put a Check step after this one."
            yield problem(place, "error", "not_available", message, "checks", index, "rule")
