"""What an answer cost and how long it took, against a limit."""

from collections.abc import Mapping

from evals.scorers.values import Score, Subject, Unscored, Verdict
from pipelines.graph.model import Json
from pipelines.graph.money import dollars


def cost(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    if subject.cost_micros is None:
        return Unscored("What the run cost is not known: a model it used has no price. Set it on the connection.")
    reason = f"It cost ${dollars(subject.cost_micros)} of ${dollars(assertion['max_usd'])}."
    return _below(subject.cost_micros, assertion["max_usd"], reason)


def latency(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    if subject.seconds is None:
        return Unscored("How long the run took is not known.")
    reason = f"It took {subject.seconds:.2f} s of {assertion['max_seconds']:g} s."
    return _below(subject.seconds, assertion["max_seconds"], reason)


def _below(found: float, most: float, reason: str) -> Score:
    """Score 1 up to the limit; beyond it, the part of what was used that was allowed."""
    return Score(1.0, True, reason) if found <= most else Score(max(0.0, most / found), False, reason)
