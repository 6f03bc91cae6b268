"""Whether a value may go on: the schema and the checks of a step's output, and the rules of a Check step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pipelines.graph.model import Json, Kind
from runs.engine import fallbacks, rules, values
from runs.engine.facts import ErrorClass, StepError
from runs.engine.rules import Rule
from runs.engine.scope import Step
from runs.engine.state import Execution

_MOST_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found. `masked` says that the value goes on without it."""

    rule: str
    message: str
    masked: bool = False

    def as_json(self) -> dict[str, Json]:
        return {"rule": self.rule, "message": self.message, "masked": self.masked}


def wrong_with(run: Execution, step: Step, output: Json) -> StepError | None:
    """Return an `invalid_output` error with what is wrong, or None. An expression that fails is `config`."""
    schema = _schema_of(run, step)
    if schema is None and not step.node.checks:
        return None
    try:
        found = list(islice(_findings(run, step, schema, output), _MOST_FINDINGS))
    except values.Unusable as unusable:
        return unusable.error
    return misfit(step, output, found) if found else None


def misfit(step: Step, output: Json, findings: Sequence[str]) -> StepError:
    """Return the error of a value that did not pass."""
    message = f"The output of {step.path} does not fit: {findings[0]}"
    return StepError(ErrorClass.INVALID_OUTPUT, "invalid_output", message, findings=tuple(findings), output=output)


def examine(run: Execution, step: Step, value: Json, *, mask: bool) -> tuple[Json, list[Finding]]:
    """Return the value of a Check step, masked if that is wanted, and what its rules found; raise Unusable.

    Rules look at the value as it came; what a model must judge is not among the findings yet.
    """
    found: list[Finding] = []
    seen = value
    for rule in step.node.config["rules"]:
        can_mask = mask and rule["rule"] == "pii"
        messages = _said(run, step, rule, value)
        found.extend(Finding(rule["rule"], message, can_mask) for message in messages)
        if can_mask and messages:
            seen = rules.masked(seen, rules.kinds_of(rule))
    return seen, found[:_MOST_FINDINGS]


def rubrics_of(run: Execution, step: Step, rules: Sequence[Rule]) -> list[dict[str, Json]]:
    """Return what judges are asked about a step's value by these rules, rendered; raise Unusable."""
    return [
        {
            "rubric": values.rendered(run, step, rule["rubric"]),
            "agent": rule.get("agent"),
            "model": rule.get("model"),
            "min_score": rule["min_score"],
            "message": rule.get("message") or "",
        }
        for rule in rules
    ]


def _schema_of(run: Execution, step: Step) -> Json:
    """Return the step's schema, else its agent's."""
    if step.node.output_schema is not None or step.node.kind is not Kind.AGENT:
        return step.node.output_schema
    return run.lock.agent(fallbacks.agent_of(run, step)).output_schema


def _findings(run: Execution, step: Step, schema: Json, output: Json) -> Iterator[str]:
    if schema is not None:
        yield from rules.misfits(schema, output)
    for rule in step.node.checks:
        yield from _said(run, step, rule, output)


def _said(run: Execution, step: Step, rule: Rule, value: Json) -> list[str]:
    """Return what a rule finds, in the author's words where there are any."""
    if rule["rule"] == "schema" and not rule.get("schema"):
        rule = {**rule, "schema": _schema_of(run, step)}
    found = list(islice(rules.broken(run, step, rule, value), _MOST_FINDINGS))
    return [rule["message"]] if found and rule.get("message") else found
