"""Check: holds a value against rules, and lets it go on, masked or noted, or stops it."""

from collections.abc import Mapping, Sequence

from pipelines.graph.model import Json
from runs.engine import checks, starting, values
from runs.engine.checks import Finding
from runs.engine.completing import complete
from runs.engine.facts import StepSucceeded
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Step

NO_SCORES: Sequence[Json] = ()


def examine(move: Move, step: Step) -> None:
    """Ask the rules; a model only where one is to judge and the others have not stopped the value already."""
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    try:
        value = values.rendered(move.run, step, step.node.config["value"])
        value, findings = checks.examine(move.run, step, value, mask=step.node.config["mode"] == "mask")
        rubrics = checks.rubrics_of(move.run, step, step.node.rubrics)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    found = [finding.as_json() for finding in findings]
    step.record.input = {"value": value}
    if rubrics and not _stops(step, found):
        step.record.input["rubrics"] = rubrics
        step.record.memo["findings"] = found
        starting.launch(move, step)
    else:
        _conclude(move, step, found, NO_SCORES)


def judged(move: Move, step: Step, fact: StepSucceeded) -> None:
    """Take what the judges said: `fact.output` has {score, reason, finding} for each rubric in `verdicts`."""
    found, verdicts = step.record.memo.pop("findings", []), fact.output["verdicts"]
    low = [Finding("ai_rubric", verdict["finding"]).as_json() for verdict in verdicts if verdict["finding"]]
    scores = [{"score": verdict["score"], "reason": verdict["reason"]} for verdict in verdicts]
    _conclude(move, step, [*found, *low], scores)


def _conclude(move: Move, step: Step, found: Sequence[Mapping[str, Json]], scores: Sequence[Json]) -> None:
    value = step.record.input["value"]
    meta: dict[str, Json] = {"findings": list(found), **({"scores": list(scores)} if scores else {})}
    if not _stops(step, found):
        complete(move, step, value, meta)
    elif step.scope.is_wired(step.node.id, "fail"):
        complete(move, step, value, meta, ports=("fail",))
    else:
        step.record.meta = meta
        give_up(move, step, checks.misfit(step, value, [entry["message"] for entry in found if not entry["masked"]]))


def _stops(step: Step, found: Sequence[Mapping[str, Json]]) -> bool:
    """Tell whether something was found that the value may not go on with."""
    return step.node.config["mode"] != "warn" and any(not entry["masked"] for entry in found)
