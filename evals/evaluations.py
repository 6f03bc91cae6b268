"""Starts and stops evaluations. What happens between is `evals.progress`, what they came to `evals.outcome`."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Invalid
from evals import cases, choosing, datasets, judging
from evals.models import Case, DatasetVersion, Evaluation, Pair, Result
from evals.scorers import needs_judge
from evals.scorers.assertions import MOST as MOST_ASSERTS
from pipelines.graph.model import Json
from pipelines.graph.money import micros
from pipelines.graph.problems import shown
from pipelines.models import Pipeline, PipelineVersion
from runs import dispatch, services
from runs.engine.facts import CancelRequested
from runs.models import OPEN_RUN_STATES, Run

MOST_REPEATS = 20
MOST_RESULTS = 10_000
MOST_OPEN = 20
MOST_PREFER = 4_000


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold: `min_pass_rate` and `max_regression` are parts of 1; money is a decimal string in dollars.

    `max_cost_usd` also bounds what is spent: no run starts beyond it.
    """

    min_pass_rate: float | None = None
    max_cost_usd: str | None = None
    max_regression: float | None = None

    def as_json(self) -> dict[str, Json]:
        cost = None if self.max_cost_usd is None else _dollars(self.max_cost_usd)
        found = {
            "min_pass_rate": self.min_pass_rate,
            "max_cost_micros": cost,
            "max_regression": self.max_regression,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Order:
    """What is evaluated. `version` is a number, "draft", or None for the published one; `dataset_version` the newest
    unless given; `baseline` the number of a version to compare with; `prefer` by what the judge chooses between both
    versions' answers, "" where it is not asked to."""

    pipeline: str
    dataset: str
    version: int | str | None = None
    dataset_version: int | None = None
    baseline: int | None = None
    repeats: int = 3
    seed: int = 0
    judge: str = ""
    asserts: Sequence[Json] = ()
    gate: Gate = field(default_factory=Gate)
    replay: bool = False
    prefer: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    order: Order
    pipeline: Pipeline
    dataset: DatasetVersion
    cases: Sequence[Case]
    asserts: Sequence[Mapping[str, Json]]


def listed(actor: Actor) -> "QuerySet[Evaluation]":
    rows = scoped(Evaluation, actor).select_related("pipeline", "version", "dataset__dataset", "started_by")
    return rows.select_related("baseline__version").defer("version__document", "version__lock")


def read(actor: Actor, pk: object) -> Evaluation:
    return get(listed(actor), actor, pk=pk)


@transaction.atomic
def start(actor: Actor, order: Order) -> Evaluation:
    """Start an evaluation and return it; one of the baseline is started beside it where none has been made yet.

    Raises Invalid (`invalid_evaluation`, `invalid_assertion`, `no_judge`, `same_judge`, `not_publishable`,
    `nothing_recorded`), Conflict (`archived`, `not_published`, `too_many_evaluations`), NotFound, Forbidden.
    """
    require(actor, Capability.RUN)
    plan = _planned(actor, order)
    require(actor, Capability.RUN, plan.pipeline)
    if scoped(Evaluation, actor).filter(state=Evaluation.State.RUNNING).count() >= MOST_OPEN:
        message = f"{MOST_OPEN} evaluations are under way. Wait for one to end, or cancel one."
        raise Conflict(message, code="too_many_evaluations")
    version = services.version_of(actor, plan.pipeline, order.version)
    _check_judges(actor, plan, version)
    baseline = None
    if order.baseline is not None:
        older = services.version_of(actor, plan.pipeline, order.baseline)
        _check_judges(actor, plan, older)
        alike = replace(order, gate=Gate(max_cost_usd=order.gate.max_cost_usd), prefer="")
        baseline = _known(plan, older) or _begin(actor, replace(plan, order=alike), older)
    evaluation = _begin(actor, plan, version, baseline)
    audit.record(actor.workspace, actor.user, "evaluation.started", str(evaluation.pk), _said(plan, version))
    return evaluation


@transaction.atomic
def cancel(actor: Actor, pk: object) -> Evaluation:
    """Stop an evaluation: nothing more is started, and the runs under way are cancelled. Whoever started it may, and
    who may stop other people's runs. Raises Conflict `already_finished`, NotFound, Forbidden."""
    evaluation = get(Evaluation.objects.select_for_update(of=("self",)), actor, pk=pk)
    if not (evaluation.started_by_id == actor.user.pk and actor.can(Capability.RUN)):
        require(actor, Capability.CANCEL_ANY)
    if not evaluation.is_open:
        raise Conflict("This evaluation has ended already.", code="already_finished")
    for run in under_way(evaluation):
        cancel_run(actor, run, "Its evaluation was cancelled.")
    close(evaluation, Evaluation.State.CANCELLED, f"{actor.user.email} cancelled it.")
    audit.record(actor.workspace, actor.user, "evaluation.cancelled", str(evaluation.pk))
    return read(actor, pk)


def cancel_run(actor: Actor, run: Run, reason: str) -> None:
    """Ask a run of an evaluation to stop; one that has just ended stays as it ended."""
    with suppress(Conflict):
        services.cancel(actor, run, reason)


def abandon(evaluation: Evaluation, reason: str) -> None:
    """Fail an evaluation that nobody may take further, and stop its runs: there is nobody in whose name to ask."""
    for run in under_way(evaluation):
        dispatch.report(run.pk, CancelRequested(reason=f"Its evaluation failed: {reason}"), key="cancel")
    close(evaluation, Evaluation.State.FAILED, reason)


def close(evaluation: Evaluation, state: Evaluation.State, reason: str) -> None:
    """End an evaluation before it is through; what was not answered yet never is."""
    why = "The evaluation ended before."
    evaluation.results.filter(state__in=Result.OPEN).update(state=Result.State.ERROR, error=why, held_micros=0)
    evaluation.pairs.filter(Pair.OPEN).update(error=why, held_micros=0)
    evaluation.state, evaluation.reason, evaluation.finished_at = state, reason, timezone.now()
    evaluation.save(update_fields=["state", "reason", "finished_at"])


def asserts_of(evaluation: Evaluation, case: Case) -> list[dict[str, Json]]:
    """Return what is asked of a case, with defaults: its own, then the evaluation's; else that it is as expected."""
    asked = [*case.asserts, *evaluation.asserts]
    if not asked and case.has_expected:
        asked = [{"type": "equals"}]
    return cases.read_asserts(asked, "/asserts")


def under_way(evaluation: Evaluation) -> "QuerySet[Run]":
    """Return the runs that answer or judge for it and have not ended; none of a replay, which starts none."""
    if evaluation.replay:
        return Run.objects.none()
    answering = evaluation.results.filter(state=Result.State.RUNNING).values("run")
    judging_ = evaluation.results.filter(metrics__run__isnull=False).values("metrics__run")
    choosing_ = evaluation.pairs.filter(run__isnull=False).values("run")
    rows = Run.objects.filter(state__in=OPEN_RUN_STATES)
    return rows.filter(pk__in=answering) | rows.filter(pk__in=judging_) | rows.filter(pk__in=choosing_)


def _planned(actor: Actor, order: Order) -> _Plan:
    pipeline = get(Pipeline.objects.select_related("published"), actor, slug=order.pipeline)
    services.refuse_archived(pipeline)
    dataset = datasets.version_of(actor, order.dataset, order.dataset_version)
    found = list(Case.objects.filter(version=dataset).order_by("position"))
    asserts = cases.read_asserts(list(order.asserts), "/asserts")
    _check_numbers(order, len(found))
    long = next((one for one in found if len(one.asserts) + len(asserts) > MOST_ASSERTS), None)
    if long is not None:
        message = (
            f"The case {shown(long.name)} would have {len(long.asserts) + len(asserts)} assertions with those of the "
            f"evaluation; {MOST_ASSERTS} is the most. Assert less."
        )
        raise _wrong(message, "/asserts")
    lost = next((one for one in found if not (one.asserts or asserts or one.has_expected)), None)
    if lost is not None:
        message = f"The case {shown(lost.name)} expects nothing and asserts nothing. Give the evaluation assertions."
        raise Invalid(message, code="invalid_evaluation", where="/asserts")
    return _Plan(order, pipeline, dataset, found, asserts)


def _check_numbers(order: Order, count: int) -> None:
    gate = order.gate
    if not 1 <= order.repeats <= MOST_REPEATS:
        raise _wrong(f"Each case is answered 1 to {MOST_REPEATS} times, not {order.repeats}.", "/repeats")
    if order.repeats * count > MOST_RESULTS:
        message = f"{count:,} cases {order.repeats} times are more than {MOST_RESULTS:,} answers. Repeat less."
        raise _wrong(message, "/repeats")
    if not 0 <= order.seed < 2**31:
        raise _wrong("The seed is a whole number from 0.", "/seed")
    if gate.min_pass_rate is not None and not 0 <= gate.min_pass_rate <= 1:
        raise _wrong("A pass rate is between 0 and 1.", "/gate/min_pass_rate")
    if gate.max_regression is not None and not 0 <= gate.max_regression <= 1:
        raise _wrong("A regression is between 0 and 1.", "/gate/max_regression")
    if gate.max_regression is not None and order.baseline is None:
        raise _wrong("To say what is worse, name a baseline.", "/gate/max_regression")
    if order.prefer and order.baseline is None:
        raise _wrong("To have the judge choose between two answers, name a baseline.", "/prefer")
    if len(order.prefer) > MOST_PREFER:
        raise _wrong(f"What the judge chooses by has {MOST_PREFER:,} characters at most.", "/prefer")
    gate.as_json()


def _check_judges(actor: Actor, plan: _Plan, version: PipelineVersion) -> None:
    """See before anything is paid for that every rubric has a judge that exists and judges nothing of its own."""
    asked = [one for case in plan.cases for one in cases.read_asserts(case.asserts, "/asserts")]
    seen, answering = set(), judging.answering(version)
    for one in filter(needs_judge, [*asked, *plan.asserts]):
        model = _a_judge(str(one.get("model") or plan.order.judge), answering)
        if (model, one["rubric"]) not in seen:
            seen.add((model, one["rubric"]))
            judging.version_of(actor, plan.pipeline, model, one)
    if plan.order.prefer:
        choosing.version_of(actor, plan.pipeline, _a_judge(plan.order.judge, answering), plan.order.prefer)


def _a_judge(model: str, answering: Collection[str]) -> str:
    if not model:
        message = "A rubric, or a choice between answers, needs a model that judges. Name another than answers."
        raise Invalid(message, code="no_judge", where="/judge")
    if model in answering:
        message = f"{model} answers in this pipeline, so it cannot judge it. Choose another model as the judge."
        raise Invalid(message, code="same_judge", where="/judge")
    return model


def _begin(actor: Actor, plan: _Plan, version: PipelineVersion, baseline: Evaluation | None = None) -> Evaluation:
    order = plan.order
    evaluation = Evaluation.objects.create(
        workspace=actor.workspace,
        pipeline=plan.pipeline,
        version=version,
        dataset=plan.dataset,
        baseline=baseline,
        repeats=order.repeats,
        seed=order.seed,
        judge=order.judge,
        prefer=order.prefer,
        asserts=list(order.asserts),
        gate=order.gate.as_json(),
        replay=order.replay,
        started_by=actor.user,
    )
    recorded = _recorded(evaluation) if order.replay else {}
    rows = [
        Result(evaluation=evaluation, case=case, repeat=repeat, run_id=recorded.get((case.digest, repeat)))
        for case in plan.cases
        for repeat in range(1, order.repeats + 1)
    ]
    if order.replay and not any(row.run_id for row in rows):
        message = (
            f"No answer of {_named(plan.pipeline, version)} to these cases has been recorded. Evaluate it once without "
            "a replay."
        )
        raise Invalid(message, code="nothing_recorded", where="/replay")
    Result.objects.bulk_create(rows)
    return evaluation


def _recorded(evaluation: Evaluation) -> dict[tuple[str, int], UUID]:
    """Return the newest runs that earlier evaluations of the same version made of the same cases, by case and repeat.

    The same version: the same document with the same agents, tools and prices, under whatever number.
    """
    version = evaluation.version
    same = version.pipeline.versions.filter(hash=version.hash, lock=version.lock)
    earlier = Result.objects.filter(
        evaluation__version__in=same,
        evaluation__replay=False,
        run__finished_at__isnull=False,
        run__content_removed_at=None,
    )
    rows = earlier.order_by("run__created_at").values_list("case__digest", "repeat", "run_id")
    return {(asked, repeat): run for asked, repeat, run in rows if run is not None}


def _known(plan: _Plan, version: PipelineVersion) -> Evaluation | None:
    """Return the newest evaluation that is just what a baseline would be, so that it is not paid for again; to choose
    between answers, one whose answers are there."""
    order = plan.order
    rows = Evaluation.objects.filter(
        version=version, dataset=plan.dataset, repeats=order.repeats, judge=order.judge, asserts=list(order.asserts)
    )
    rows = rows.filter(state__in=(Evaluation.State.RUNNING, Evaluation.State.FINISHED))
    if order.prefer:
        rows = rows.exclude(results__run__content_removed_at__isnull=False)
    return rows.exclude(summary__errors__gt=0).order_by("-created_at").first()


def _said(plan: _Plan, version: PipelineVersion) -> dict[str, Json]:
    return {
        "pipeline": plan.pipeline.slug,
        "version": version.number,
        "dataset": plan.dataset.dataset.name,
        "dataset_version": plan.dataset.number,
        "replay": plan.order.replay,
    }


def _named(pipeline: Pipeline, version: PipelineVersion) -> str:
    return f"{pipeline.name} v{version.number}" if version.number else f"the draft of {pipeline.name}"


def _dollars(amount: str) -> int:
    try:
        found = micros(amount)
    except ValueError as error:
        raise _wrong(str(error), "/gate/max_cost_usd") from None
    if found <= 0:
        raise _wrong("The most that it may cost is more than nothing.", "/gate/max_cost_usd")
    return found


def _wrong(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_evaluation", where=where)
