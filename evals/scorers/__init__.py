"""Scorers: each says how well one answer does by one assertion, as a score from 0 to 1, or that it cannot be said.

Pure: no framework, no clock, no network. A judge's call is made by the evaluation, which hands over what came of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from evals.scorers import data, limits, texts
from evals.scorers import trajectory as ways
from evals.scorers.values import NOTHING, Score, Subject, Trajectory, Unscored, Verdict
from pipelines.graph.model import Json

__all__ = ["NOTHING", "Score", "Subject", "Trajectory", "Unscored", "Verdict", "needs_judge", "of_step", "score"]

Scorer = Callable[[Mapping[str, Json], Subject], Verdict]
_SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        "equals": texts.equals,
        "json_field": data.json_field,
        "schema": data.schema,
        "contains": texts.contains,
        "regex": texts.matches,
        "similar_wording": texts.similar_wording,
        "cost": limits.cost,
        "latency": limits.latency,
        "trajectory": ways.trajectory,
    }
)
# These look at the run, which is there however it ended.
_OF_THE_RUN = frozenset({"cost", "latency", "trajectory"})


def needs_judge(assertion: Mapping[str, Json]) -> bool:
    return bool(assertion["type"] == "rubric")


def score(assertion: Mapping[str, Json], subject: Subject) -> Verdict:
    """Return what an assertion that needs no judge says of an answer. An answer that a run did not give scores 0."""
    found = of_step(assertion, subject)
    if isinstance(found, Score | Unscored):
        return found
    return _SCORERS[assertion["type"]](assertion, found)


def of_step(assertion: Mapping[str, Json], subject: Subject) -> Subject | Verdict:
    """Return the subject with the output that the assertion is about, or the score where there is no output."""
    if assertion["type"] in _OF_THE_RUN:
        return subject
    path = assertion.get("of")
    if path is None:
        return Score(0.0, False, f"There is no answer: {subject.broke}") if subject.broke else subject
    step = subject.trajectory.steps.get(path)
    if step is None or step.state != ways.RAN:
        return Score(0.0, False, f"{path} {step.state if step else 'never began'}, so it has no output.")
    return replace(subject, output=step.output)
