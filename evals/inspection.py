"""What the page of one evaluation shows: its cases with the repeats and metrics of each, and the verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from evals import outcome, pairing, ratings
from evals.comparison import FEWEST, change, is_flaky, mean
from evals.models import Case, Evaluation, Metric, Pair, Rating, Result
from evals.ratings import Agreed
from evals.scorers.texts import as_text
from pipelines.graph.model import Json

SHOWN = 200
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case: the means of its repeats, and what the baseline came to. `metrics` are in the order of the columns.

    `people` is the mean of what people score its answers.
    """

    case: Case
    results: Sequence[Result]
    score: float | None
    before: float | None
    metrics: Sequence[float | None]
    reasons: Sequence[str]
    passed: int
    errors: int
    is_flaky: bool
    cost_micros: int | None
    people: float | None = None
    pairs: Sequence[Pair] = ()

    @property
    def difference(self) -> float | None:
        return None if self.score is None or self.before is None else change(self.before, self.score)

    @property
    def scored(self) -> int:
        return sum(one.state == Result.State.SCORED for one in self.results)

    @property
    def expected(self) -> str:
        return as_text(self.case.expected_output)[:_LONGEST] if self.case.has_expected else ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A case's difference in the chart, whose middle line is at 70 and whose full height either way is 60."""

    x: str
    y: str
    width: str
    height: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class View:
    evaluation: Evaluation
    names: Sequence[str]
    lines: Sequence[CaseLine]
    total: int
    done: int
    only: str
    counts: Mapping[str, int]
    figures: Mapping[str, Json] = field(default_factory=dict)
    agreed: Sequence[Agreed] = ()

    @property
    def is_rated(self) -> bool:
        return any(line.people is not None for line in self.lines)

    @property
    def width(self) -> float | None:
        found = self.evaluation.comparison
        return found["width"] if found else None

    @property
    def not_compared(self) -> str:
        return outcome.not_compared(self.evaluation)

    @property
    def cases_for_half(self) -> int:
        """About how many cases would show a change of half the size: the width falls with the root of their number. 0
        where they are too few to say."""
        cases = self.evaluation.comparison["cases"] if self.evaluation.comparison else 0
        return 4 * cases if cases >= FEWEST else 0

    @property
    def bars(self) -> list[Bar]:
        """The differences of all cases, the worst first."""
        found = (self.evaluation.comparison or {}).get("differences", [])
        step = 732 / max(1, len(found))
        return [_bar(44 + step * number, min(step * 0.8, 24), one) for number, one in enumerate(found)]


def view(evaluation: Evaluation, only: str = "") -> View:
    """Return the page of an evaluation with at most 200 cases; `only` is worse, better, flaky, failed, errors or "".

    Ten queries at the most.
    """
    rows = Result.objects.filter(evaluation=evaluation).select_related("case").order_by("case__position", "repeat")
    groups: dict[int, list[Result]] = {}
    for row in rows:
        groups.setdefault(row.case_id, []).append(row)
    metrics: dict[int, list[Metric]] = {}
    found = Metric.objects.filter(result__evaluation=evaluation).order_by("result_id", "position")
    names: dict[str, None] = {}
    for metric in found:
        metrics.setdefault(metric.result_id, []).append(metric)
        names.setdefault(metric.name)
    before = _before(evaluation)
    lines = [_line(group, metrics, list(names), before.get(group[0].case.name)) for group in groups.values()]
    lines = _with_people_and_pairs(evaluation, lines)
    done = sum(one.state not in Result.OPEN for group in groups.values() for one in group)
    kinds = {
        "worse": [line for line in lines if (line.difference or 0) < 0],
        "better": [line for line in lines if (line.difference or 0) > 0],
        "flaky": [line for line in lines if line.is_flaky],
        "failed": [line for line in lines if line.scored > line.passed],
        "errors": [line for line in lines if line.errors],
    }
    return View(
        evaluation=evaluation,
        names=list(names),
        lines=kinds.get(only, lines)[:SHOWN],
        total=sum(len(group) for group in groups.values()),
        done=done,
        only=only if only in kinds else "",
        counts={"all": len(lines), **{name: len(group) for name, group in kinds.items()}},
        figures=evaluation.summary or {},
        agreed=ratings.agreed(evaluation),
    )


def _with_people_and_pairs(evaluation: Evaluation, lines: Sequence[CaseLine]) -> list[CaseLine]:
    rated = ratings.current(one.run_id for line in lines for one in line.results)
    pairs: dict[int, list[Pair]] = {}
    for pair in pairing.of(evaluation) if evaluation.prefer else ():
        pairs.setdefault(pair.case_id, []).append(pair)
    return [replace(line, people=_people(line, rated), pairs=pairs.get(line.case.pk, ())) for line in lines]


def _people(line: CaseLine, rated: Mapping[UUID | None, Sequence[Rating]]) -> float | None:
    return mean([one.score for result in line.results for one in rated.get(result.run_id, ())])


def _bar(x: float, width: float, one: Mapping[str, Json]) -> Bar:
    change = one["difference"]
    height = max(1.5, abs(change) * 60)
    return Bar(
        x=f"{x:.1f}",
        y=f"{70 - height if change > 0 else 70:.1f}",
        width=f"{width:.1f}",
        height=f"{height:.1f}",
        tone="better" if change > 0 else "worse" if change < 0 else "unclear",
        title=f"{one['case']}: {change:+.2f}",
    )


def _before(evaluation: Evaluation) -> dict[str, float]:
    return {case.name: case.mean for case in outcome.baseline_cases(evaluation) if case.scores}


def _line(
    group: Sequence[Result], metrics: Mapping[int, Sequence[Metric]], names: Sequence[str], before: float | None
) -> CaseLine:
    scored = [one for one in group if one.state == Result.State.SCORED and one.score is not None]
    passed = sum(one.passed is True for one in scored)
    said = [metric for one in group for metric in metrics.get(one.pk, ())]
    costs = [one.cost_micros for one in group]
    return CaseLine(
        case=group[0].case,
        results=group,
        score=mean([one.score for one in scored if one.score is not None]),
        before=before,
        metrics=[mean([m.score for m in said if m.name == name and m.score is not None]) for name in names],
        reasons=_reasons(group, said),
        passed=passed,
        errors=sum(one.state == Result.State.ERROR for one in group),
        is_flaky=is_flaky([one.passed is True for one in scored]),
        cost_micros=None if None in costs else sum(cost or 0 for cost in costs),
    )


def _reasons(group: Sequence[Result], said: Sequence[Metric]) -> list[str]:
    """Return why answers failed or could not be scored, each reason once."""
    failed = [f"{metric.name}: {metric.reason}" for metric in said if metric.passed is False]
    return list(dict.fromkeys([*failed, *(one.error for one in group if one.error)]))[:4]
