"""Takes evaluations forward: starts the runs of their cases, scores what has ended, asks judges, and ends them.

Each step is one transaction under the lock of the evaluation's row, so two workers never do the same twice, and what a
killed worker had not finished is done by the next. Nothing is kept in memory between two steps.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.access import Actor, Capability, actor_for, require
from accounts.errors import Refused
from evals import answers, evaluations, judging, outcome, pairing, scorers
from evals.models import Evaluation, Metric, Result
from evals.scorers import Score, Subject, Unscored, Verdict, assertions, rubric
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs import services
from runs.engine.origin import Origin
from runs.models import OPEN_RUN_STATES, Via

log = logging.getLogger("baton.evals")

AT_ONCE = 8
# Evaluations that one poll looks at.
AT_A_TIME = 100
# What one step scores, so that a poll stays short.
BATCH = 40
# A run may wait for an event that never comes.
LONGEST = timedelta(hours=1)
_ENDED = Q(run__isnull=False) & ~Q(run__state__in=OPEN_RUN_STATES)


def advance_all() -> None:
    """Take open evaluations one step forward. Safe when several workers do it at once.

    Where there are very many, some drawn by chance, so that none is always behind the others. One that cannot be taken
    further is logged and holds up no other; a database that is away is raised.
    """
    rows = Evaluation.objects.filter(state=Evaluation.State.RUNNING).order_by("?")
    for pk in list(rows.values_list("pk", flat=True)[:AT_A_TIME]):
        try:
            advance(pk)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("The evaluation %s could not be taken further.", pk)


def advance(pk: UUID) -> bool:
    """Take an evaluation one step forward; return False where it has ended or somebody else is at it."""
    with transaction.atomic():
        rows = Evaluation.objects.select_for_update(skip_locked=True, of=("self",))
        rows = rows.select_related("workspace", "version__pipeline", "baseline", "started_by")
        evaluation = rows.filter(pk=pk, state=Evaluation.State.RUNNING).first()
        if evaluation is None:
            return False
        try:
            actor = _actor(evaluation)
        except Refused as refusal:
            evaluations.abandon(evaluation, refusal.message)
            return True
        _take_answers(actor, evaluation)
        _stop_the_late(actor, evaluation)
        _take_verdicts(evaluation)
        _start_runs(actor, evaluation)
        if not evaluation.results.filter(state__in=Result.OPEN).exists():
            _finish(actor, evaluation)
        return True


def _actor(evaluation: Evaluation) -> Actor:
    """Return who started it as they are now: what they may no longer do is not done for them."""
    if evaluation.started_by is None:
        raise Refused("Who started this evaluation is not here any more.")
    actor = actor_for(evaluation.started_by, evaluation.workspace.slug)
    require(actor, Capability.RUN, evaluation.pipeline)
    return actor


# Runs


def _start_runs(actor: Actor, evaluation: Evaluation) -> None:
    under_way = evaluation.results.filter(state__in=(Result.State.RUNNING, Result.State.JUDGING)).count()
    waiting = evaluation.results.filter(state=Result.State.WAITING).select_related("case").order_by("repeat", "id")
    if evaluation.replay:
        _take_recorded(waiting[:BATCH])
        return
    for result in waiting[: max(0, AT_ONCE - under_way)]:
        left = outcome.left(evaluation)
        if left is not None and left <= 0:
            if not evaluation.results.filter(held_micros__gt=0).exists():
                _give_up(waiting, evaluation)
            return
        _start_run(actor, evaluation, result, left)


def _start_run(actor: Actor, evaluation: Evaluation, result: Result, left: int | None) -> None:
    own = services.document_of(evaluation.version_id).budget.max_cost_micros
    held = None if left is None else min(left, own) if own is not None else left
    order = services.Order(
        input=result.case.inputs,
        tags=("evaluation",),
        budget={"max_cost_usd": dollars(held)},
        rehearsal=True,
        origin=Origin(unattended=True).as_json(),
        via=Via.EVALUATION,
    )
    try:
        with transaction.atomic():
            result.run = services.start_version(actor, evaluation.version, order)
    except Refused as refusal:
        _lost(result, f"The case could not be run: {refusal.message}")
        return
    result.state, result.held_micros = Result.State.RUNNING, held or 0
    result.save(update_fields=["run", "state", "held_micros"])


def _give_up(waiting: "QuerySet[Result]", evaluation: Evaluation) -> None:
    most = dollars(evaluation.gate["max_cost_micros"])
    waiting.update(state=Result.State.ERROR, error=f"The ${most} that the evaluation may cost are used up.")


def _take_recorded(waiting: "QuerySet[Result]") -> None:
    for result in waiting:
        if result.run_id is None:
            _lost(result, "No answer to this case has been recorded.")
        else:
            result.state = Result.State.RUNNING  # it has ended long ago, and is scored in the next step
            result.save(update_fields=["state"])


# Answers


def _take_answers(actor: Actor, evaluation: Evaluation) -> None:
    ended = evaluation.results.filter(_ENDED, state=Result.State.RUNNING)
    for result in ended.select_related("case", "run__version").order_by("id")[:BATCH]:
        _take_answer(actor, evaluation, result)


def _stop_the_late(actor: Actor, evaluation: Evaluation) -> None:
    """Stop answers and judges that have not ended after an hour; once they are cancelled they count as errors."""
    late = evaluations.under_way(evaluation).filter(created_at__lt=timezone.now() - LONGEST)
    for run in late.exclude(state="cancelling")[:BATCH]:
        evaluations.cancel_run(actor, run, "It did not end within the hour that it has.")


def _take_answer(actor: Actor, evaluation: Evaluation, result: Result) -> None:
    run = result.run
    if run is None:
        return
    result.cost_micros, result.seconds, result.held_micros = answers.cost_of(run), answers.seconds_of(run), 0
    if fault := answers.fault_of(run):
        _lost(result, fault)
        return
    asked = evaluations.asserts_of(evaluation, result.case)
    subject = answers.subject_of(result.case, run, [one["of"] for one in asked if "of" in one])
    result.broke, result.state = subject.broke[:1_000], Result.State.JUDGING
    result.save(update_fields=["broke", "state", "cost_micros", "seconds", "held_micros"])
    names = assertions.names_of(asked)
    metrics = [_metric(actor, evaluation, result, subject, assertion) for assertion in asked]
    for position, (metric, name) in enumerate(zip(metrics, names, strict=True)):
        metric.position, metric.name = position, name
    Metric.objects.bulk_create(metrics)
    _conclude(result)


def _metric(
    actor: Actor, evaluation: Evaluation, result: Result, subject: Subject, assertion: Mapping[str, Json]
) -> Metric:
    metric = Metric(result=result, type=assertion["type"])
    if not scorers.needs_judge(assertion):
        return _filled(metric, scorers.score(assertion, subject))
    seen = scorers.of_step(assertion, subject)
    if isinstance(seen, Score | Unscored):
        return _filled(metric, seen)
    _ask_judge(actor, evaluation, metric, seen, assertion)
    return metric


def _ask_judge(
    actor: Actor, evaluation: Evaluation, metric: Metric, subject: Subject, assertion: Mapping[str, Json]
) -> None:
    """Start the judge's run; in a replay take what it said to the same words before."""
    case = metric.result.case
    text = rubric.shown(subject, case.inputs, case.context)
    model = str(assertion.get("model") or evaluation.judge)
    metric.key = judging.key_of(model, assertion, text)
    if evaluation.replay:
        old = judging.recorded(metric.key, actor)
        said = {"score": old.score, "reason": old.reason} if old else {}
        lost = Unscored("The judge's verdict on this answer has not been recorded.")
        _filled(metric, rubric.judged(assertion, said, 0) if old else lost)
        return
    cap = judging.cap_of(outcome.left(evaluation))
    if cap is not None and cap <= 0:
        _filled(metric, Unscored("What the evaluation may cost is used up, so the judge was not asked."))
        return
    try:
        with transaction.atomic():
            judge = judging.version_of(actor, evaluation.pipeline, model, assertion)
            metric.run = judging.start(actor, judge, {"text": text}, cap, evaluation.pipeline.slug)
            metric.result.held_micros += cap or 0
            metric.result.save(update_fields=["held_micros"])
    except Refused as refusal:
        _filled(metric, Unscored(f"The judge could not be asked: {refusal.message}"))


def _take_verdicts(evaluation: Evaluation) -> None:
    pending = Metric.objects.filter(_ENDED, result__evaluation=evaluation, score=None, error=False)
    for metric in pending.select_related("run", "result__case").order_by("id")[:BATCH]:
        asked = evaluations.asserts_of(evaluation, metric.result.case)[metric.position]
        if metric.run is not None:
            _filled(metric, judging.said(asked, metric.run)).save()
        _conclude(metric.result)


def _filled(metric: Metric, verdict: Verdict) -> Metric:
    metric.reason, metric.cost_micros = verdict.reason[:2_000], verdict.cost_micros
    if isinstance(verdict, Score):
        metric.score, metric.passed = verdict.score, verdict.passed
    else:
        metric.error = True
    return metric


def _conclude(result: Result) -> None:
    """Give a result its score once each of its metrics has one: their mean, passed where all are."""
    metrics = list(result.metrics.values("name", "score", "passed", "error", "reason"))
    if any(metric["score"] is None and not metric["error"] for metric in metrics):
        return
    wrong = next((metric for metric in metrics if metric["error"]), None)
    if wrong is not None:
        _lost(result, f"{wrong['name']}: {wrong['reason']}")
        return
    result.state = Result.State.SCORED
    result.score = sum(metric["score"] or 0.0 for metric in metrics) / len(metrics)
    result.passed = all(metric["passed"] for metric in metrics)
    result.held_micros = 0
    result.save(update_fields=["state", "score", "passed", "held_micros"])


def _lost(result: Result, why: str) -> None:
    result.state, result.error, result.held_micros = Result.State.ERROR, why[:1_000], 0
    result.save(update_fields=["state", "error", "cost_micros", "seconds", "held_micros"])


# The end


def _finish(actor: Actor, evaluation: Evaluation) -> None:
    """Write down what it came to, once its baseline has ended too, and the judge has chosen where it is asked to."""
    baseline = evaluation.baseline
    if baseline is not None and baseline.is_open:
        return
    if evaluation.prefer and not pairing.are_settled(actor, evaluation):
        return
    found = outcome.figures(evaluation)
    against = outcome.compared(evaluation)
    evaluation.summary = found
    evaluation.comparison = outcome.comparison_json(against) if against else None
    evaluation.preference = outcome.preferred(evaluation) if evaluation.prefer else None
    unknown = (baseline.summary or {}).get("errors", 0) if baseline else 0
    evaluation.missed = outcome.missed(evaluation.gate, found, against, unknown)
    evaluation.state, evaluation.finished_at = Evaluation.State.FINISHED, timezone.now()
    evaluation.save(update_fields=["summary", "comparison", "preference", "missed", "state", "finished_at"])
