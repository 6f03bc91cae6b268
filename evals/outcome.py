"""What the results of an evaluation come to: figures, the comparison with its baseline, and whether the gate held."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import quantiles
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from evals.comparison import Case, Compared, compare, preference, summary
from evals.models import Evaluation, Metric, Pair, Result
from pipelines.graph.model import Json
from pipelines.graph.money import dollars

_SHOWN = 4
_WORTH = {Pair.Outcome.WON: 1, Pair.Outcome.TIED: 0, Pair.Outcome.LOST: -1}


def figures(evaluation: Evaluation) -> dict[str, Json]:
    """Return the summary: scores, pass rate, pass@k, flaky cases, errors, cost in micro-dollars, seconds."""
    results = list(Result.objects.filter(evaluation=evaluation).values("state", "seconds"))
    found = summary(by_case(evaluation))
    seconds = sorted(row["seconds"] for row in results if row["seconds"] is not None)
    answers, judges = cost(evaluation)
    return {
        "cases": found.cases,
        "results": len(results),
        "scored": sum(row["state"] == Result.State.SCORED for row in results),
        "errors": sum(row["state"] == Result.State.ERROR for row in results),
        "score": found.mean,
        "pass_rate": found.pass_rate,
        "pass_at": list(found.pass_at),
        "flaky": list(found.flaky),
        "cost_micros": None if answers is None or judges is None else answers + judges,
        "answers_micros": answers,
        "judges_micros": judges,
        "seconds_median": _quantile(seconds, 50),
        "seconds_95": _quantile(seconds, 95),
        "metrics": _metrics(evaluation),
    }


def by_case(evaluation: Evaluation) -> list[Case]:
    """Return the repeats of each case that could be scored, in the dataset's order. One query."""
    rows = Result.objects.filter(evaluation=evaluation).order_by("case__position", "repeat")
    found: dict[str, list[tuple[float, bool]]] = {}
    for name, state, score, passed in rows.values_list("case__name", "state", "score", "passed"):
        found.setdefault(name, [])
        if state == Result.State.SCORED and score is not None:
            found[name].append((score, passed is True))
    return [Case(name, tuple(s for s, _ in pairs), tuple(p for _, p in pairs)) for name, pairs in found.items()]


def cost(evaluation: Evaluation) -> tuple[int | None, int | None]:
    """Return what the answers and their judges cost so far; None where a price is unknown, 0 in a replay."""
    if evaluation.replay:
        return 0, 0
    answered = Result.objects.filter(evaluation=evaluation, run__isnull=False).exclude(state=Result.State.RUNNING)
    asked = {"run__isnull": False, "run__finished_at__isnull": False}
    judged = _sum(Metric.objects.filter(result__evaluation=evaluation, **asked))
    chosen = _sum(Pair.objects.filter(evaluation=evaluation, **asked))
    return _sum(answered), None if judged is None or chosen is None else judged + chosen


def left(evaluation: Evaluation) -> int | None:
    """Return what may still be spent, None without a limit: less what was, and what may be by runs under way."""
    most = evaluation.gate.get("max_cost_micros")
    if most is None:
        return None
    held = [rows.aggregate(held=Sum("held_micros"))["held"] or 0 for rows in (evaluation.results, evaluation.pairs)]
    spent = sum(amount or 0 for amount in cost(evaluation))
    return int(most) - sum(held) - spent


def preferred(evaluation: Evaluation) -> dict[str, Json]:
    """Return what the judge's choices between both versions' answers come to; the counts are of cases but for pairs."""
    rows = list(Pair.objects.filter(evaluation=evaluation).order_by("case__position", "repeat"))
    outcomes: dict[int, list[int]] = {}
    for row in rows:
        if row.outcome:
            outcomes.setdefault(row.case_id, []).append(_WORTH[Pair.Outcome(row.outcome)])
    found = preference({str(case): pairs for case, pairs in outcomes.items()})
    return {
        "verdict": str(found.verdict) if found else None,
        "cases": found.cases if found else 0,
        "won": found.won if found else 0,
        "tied": found.tied if found else 0,
        "lost": found.lost if found else 0,
        "p": round(found.p, _SHOWN + 2) if found else None,
        "pairs": len(rows),
        "swayed": sum(row.swayed for row in rows),
        "errors": sum(bool(row.error) for row in rows),
    }


def compared(evaluation: Evaluation) -> Compared | None:
    """Return how the evaluation does against its baseline; None without one at its end, or without a common case."""
    return compare(baseline_cases(evaluation), by_case(evaluation), evaluation.seed)


def baseline_cases(evaluation: Evaluation) -> list[Case]:
    """Return the cases of its baseline, none where it has none or one that has not come to its end: what was cancelled
    or failed on the way says only something of the cases that happened to come first."""
    baseline = evaluation.baseline
    if baseline is None or baseline.state != Evaluation.State.FINISHED:
        return []
    return by_case(baseline)


def comparison_json(found: Compared) -> dict[str, Json]:
    names = ("cases", "better", "same", "worse", "gained", "lost")
    parts = ("mean_a", "mean_b", "difference", "low", "high", "width", "p")
    return {
        "verdict": str(found.verdict),
        **{name: getattr(found, name) for name in names},
        **{name: round(getattr(found, name), _SHOWN + 2) for name in parts},
        "differences": [{"case": name, "difference": round(one, _SHOWN + 2)} for name, one in found.differences],
    }


def not_compared(evaluation: Evaluation) -> str:
    """Return why an evaluation that has ended is compared with nothing though a baseline was named, "" where it is."""
    baseline = evaluation.baseline
    if baseline is None or evaluation.comparison or evaluation.state != Evaluation.State.FINISHED:
        return ""
    if baseline.state == Evaluation.State.FINISHED:
        return "Not compared: no case could be scored both here and in the baseline."
    was = "was cancelled" if baseline.state == Evaluation.State.CANCELLED else "failed"
    return f"Not compared: the evaluation of the baseline, v{baseline.version.number}, {was}. Evaluate again."


def missed(
    gate: Mapping[str, Json], found: Mapping[str, Json], against: Compared | None, baseline_errors: int = 0
) -> list[str]:
    """Return in sentences what of the gate does not hold. What is not known does not hold."""
    sentences = []
    least, most, drop = (gate.get(name) for name in ("min_pass_rate", "max_cost_micros", "max_regression"))
    if least is not None and (rate := _lacks(found, least)):
        sentences.append(f"Pass rate: {rate}, at least {least:.1%} must.")
    if most is not None and (found["cost_micros"] is None or found["cost_micros"] > most):
        spent = "an unknown amount" if found["cost_micros"] is None else f"${dollars(found['cost_micros'])}"
        sentences.append(f"Cost: it cost {spent}, at most ${dollars(most)} is allowed.")
    if drop is not None:
        if against is None:
            sentences.append("Regression: there is nothing of the baseline to compare with.")
        elif -against.difference > drop:
            lost = f"{-against.difference:.3f} lower than the baseline's"
            sentences.append(f"Regression: the score is {lost}, at most {drop:g} is allowed.")
        elif errors := found["errors"] + baseline_errors:
            said = _not_scored(errors)
            sentences.append(f"Regression: {said}, so it is not known how the score compares with the baseline's.")
    return sentences


def _lacks(found: Mapping[str, Json], least: float) -> str:
    """Return why answers do not surely pass as often as they must, "" where they do."""
    rate, errors = found["pass_rate"], found["errors"]
    if rate is None:
        return "nothing could be scored"
    if rate < least:
        return f"{rate:.1%} passed"
    if errors:
        return f"{_not_scored(errors)}, so it is not known how many passed"
    return ""


def _not_scored(errors: int) -> str:
    return f"{'1 answer' if errors == 1 else f'{errors:,} answers'} could not be scored"


def _metrics(evaluation: Evaluation) -> list[dict[str, Json]]:
    """Return each metric's mean score, passes and errors, by name."""
    groups: dict[str, list[tuple[float | None, bool | None, bool]]] = defaultdict(list)
    rows = Metric.objects.filter(result__evaluation=evaluation).order_by("position", "id")
    for name, score, passed, error in rows.values_list("name", "score", "passed", "error"):
        groups[name].append((score, passed, error))
    return [_metric(name, group) for name, group in groups.items()]


def _metric(name: str, group: list[tuple[float | None, bool | None, bool]]) -> dict[str, Json]:
    scores = [score for score, _, _ in group if score is not None]
    return {
        "name": name,
        "score": sum(scores) / len(scores) if scores else None,
        "passed": sum(passed is True for _, passed, _ in group),
        "failed": sum(passed is False for _, passed, _ in group),
        "errors": sum(error for _, _, error in group),
    }


def _sum(rows: QuerySet[Any]) -> int | None:
    """Return what rows cost together, None where one of them has no known price. One query."""
    found = rows.aggregate(cost=Sum("cost_micros"), unknown=Count("pk", filter=Q(cost_micros=None)))
    return None if found["unknown"] else found["cost"] or 0


def _quantile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]
