"""How datasets, evaluations and their results are written in JSON."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from accounts.errors import Invalid
from evals import cases, formats, outcome, ratings
from evals.comparison import is_flaky
from evals.models import Case, DatasetVersion, Evaluation, Metric, Pair, PublishGate, Rating, Result
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.graph.problems import shown
from runs import artifacts
from runs.api.shapes import time


def dataset(row: Any) -> dict[str, Json]:
    """Return a dataset of `datasets.listed`."""
    return {
        "name": row.name,
        "url": f"{settings.BASE_URL}/datasets/{row.name}/",
        "description": row.description,
        "version": row.newest,
        "cases": row.size,
        "created_at": time(row.created_at),
        "changed_at": time(row.changed_at),
    }


def version(row: DatasetVersion) -> dict[str, Json]:
    return {
        "version": row.number,
        "hash": row.hash,
        "note": row.note,
        "cases": row.size,
        "created_by": row.created_by.email if row.created_by else None,
        "created_at": time(row.created_at),
    }


def whole_version(row: DatasetVersion) -> dict[str, Json]:
    found = Case.objects.filter(version=row).order_by("position")
    return {**version(row), "dataset": row.dataset.name, "cases": [cases.as_json(case) for case in found]}


def exported(row: DatasetVersion, name: str, field: str) -> dict[str, Json]:
    """Return a version's cases as another tool writes them; Invalid `unknown_format`."""
    if name not in formats.FORMATS:
        message = f"{shown(name)} is no format that can be written. There are: {', '.join(formats.FORMATS)}."
        raise Invalid(message, code="unknown_format", where="/format")
    found = [cases.as_json(case) for case in Case.objects.filter(version=row).order_by("position")]
    written = formats.write(name, found, field)
    return {"format": name, "data": written.data, "problems": [problem.as_json() for problem in written.problems]}


def evaluation(row: Evaluation) -> dict[str, Json]:
    gate = row.gate
    return {
        "id": str(row.pk),
        "url": f"{settings.BASE_URL}/evaluations/{row.pk}/",
        "pipeline": row.pipeline.slug,
        "version": row.version.number,
        "hash": row.version.hash,
        "dataset": row.dataset.dataset.name,
        "dataset_version": row.dataset.number,
        "state": row.state,
        "reason": row.reason or None,
        "repeats": row.repeats,
        "seed": row.seed,
        "judge": row.judge or None,
        "prefer": row.prefer or None,
        "asserts": row.asserts,
        "replay": row.replay,
        "baseline": _baseline(row.baseline),
        "gate": {
            "min_pass_rate": gate.get("min_pass_rate"),
            "max_cost_usd": dollars(gate.get("max_cost_micros")),
            "max_regression": gate.get("max_regression"),
            "missed": row.missed,
        },
        "summary": summary(row.summary) if row.summary else None,
        "comparison": row.comparison,
        "preference": row.preference,
        "not_compared": outcome.not_compared(row) or None,
        "started_by": row.started_by.email if row.started_by else None,
        "created_at": time(row.created_at),
        "finished_at": time(row.finished_at),
    }


def summary(found: dict[str, Any]) -> dict[str, Json]:
    """Return the figures with money as dollars."""
    kept = {name: value for name, value in found.items() if not name.endswith("_micros")}
    money = {f"{name}_usd": dollars(found[f"{name}_micros"]) for name in ("cost", "answers", "judges")}
    return {**kept, **money}


def results(rows: Iterable[Result]) -> list[dict[str, Json]]:
    """Return results with their metrics, outputs and ratings. Two queries for all, one for each large output."""
    found = list(rows)
    rated = ratings.current(row.run_id for row in found)
    metrics: dict[int, list[Metric]] = {}
    for metric in Metric.objects.filter(result__in=found).order_by("position"):
        metrics.setdefault(metric.result_id, []).append(metric)
    return [_result(row, metrics.get(row.pk, []), rated.get(row.run_id, [])) for row in found]


def rating(row: Rating) -> dict[str, Json]:
    return {
        "by": row.by.email if row.by else None,
        "passed": row.passed,
        "score": row.score,
        "note": row.note,
        "at": time(row.at),
    }


def pair(row: Pair) -> dict[str, Json]:
    """Return what a judge chose: `won` is this version's answer, `lost` the baseline's."""
    return {
        "case": row.case.name,
        "repeat": row.repeat,
        "outcome": row.outcome or None,
        "swayed": row.swayed,
        "reason": row.reason or None,
        "error": row.error or None,
        "cost_usd": dollars(row.cost_micros),
        "run": str(row.run_id) if row.run_id else None,
    }


def progress(row: Evaluation) -> dict[str, int]:
    """Return how many results there are in each state."""
    counts = dict.fromkeys(Result.State.values, 0)
    for state in Result.objects.filter(evaluation=row).values_list("state", flat=True):
        counts[state] += 1
    return counts


def report(row: Evaluation) -> dict[str, Json]:
    """Return an evaluation with all its results."""
    rows = Result.objects.filter(evaluation=row).select_related("case", "run").order_by("case__position", "repeat")
    flaky = [case.name for case in outcome.by_case(row) if is_flaky(case.passed)]
    return {**evaluation(row), "flaky": flaky, "results": results(rows)}


def gate(row: PublishGate | None) -> dict[str, Json]:
    """Return what a pipeline's draft must pass before it is published."""
    return {
        "dataset": row.dataset.dataset.name if row else None,
        "dataset_version": row.dataset.number if row else None,
        "min_pass_rate": row.min_pass_rate if row else None,
        "judge": (row.judge or None) if row else None,
        "repeats": row.repeats if row else None,
        "set_by": row.set_by.email if row and row.set_by else None,
        "set_at": time(row.set_at) if row else None,
    }


def _result(row: Result, metrics: Iterable[Metric], rated: Iterable[Rating]) -> dict[str, Json]:
    run = row.run
    return {
        "case": row.case.name,
        "repeat": row.repeat,
        "state": row.state,
        "score": row.score,
        "passed": row.passed,
        "error": row.error or None,
        "broke": row.broke or None,
        "run": str(run.pk) if run else None,
        "output": artifacts.whole(run.pk, run.large, "output", run.output) if run else None,
        "cost_usd": dollars(row.cost_micros),
        "seconds": row.seconds,
        "metrics": [_metric(metric) for metric in metrics],
        "ratings": [rating(one) for one in rated],
    }


def agreed(one: ratings.Agreed) -> dict[str, Json]:
    """Return how far a judge says what people say."""
    found = one.found
    return {
        "metric": one.metric,
        "answers": found.answers,
        "both_pass": found.both_pass,
        "judge_alone": found.judge_alone,
        "people_alone": found.people_alone,
        "neither": found.neither,
        "agreed": found.agreed,
        "kappa": found.kappa,
    }


def _metric(row: Metric) -> dict[str, Json]:
    return {
        "name": row.name,
        "type": row.type,
        "score": row.score,
        "passed": row.passed,
        "error": row.error,
        "reason": row.reason,
        "cost_usd": dollars(row.cost_micros),
        "run": str(row.run_id) if row.run_id else None,
    }


def _baseline(row: Evaluation | None) -> Json:
    return {"evaluation": str(row.pk), "version": row.version.number} if row else None
