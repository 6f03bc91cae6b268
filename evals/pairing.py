"""Has a judge choose between both versions' answers to each case: makes the pairs, asks about them, takes what it said.

Steps of an evaluation under the lock of its row, as those of `evals.progress`.
"""

from collections.abc import Iterator, Mapping, Sequence

from django.db import transaction

from accounts.access import Actor
from accounts.errors import Refused
from evals import choosing, judging, outcome
from evals.answers import cost_of
from evals.models import Evaluation, Pair, Result
from evals.scorers.texts import same
from pipelines.graph.model import Json
from runs import artifacts
from runs.models import OPEN_RUN_STATES, Run

AT_ONCE = 8
BATCH = 40
_OUTCOMES = {1: Pair.Outcome.WON, 0: Pair.Outcome.TIED, -1: Pair.Outcome.LOST}


def are_settled(actor: Actor, evaluation: Evaluation) -> bool:
    """Take the pairs of an evaluation, whose answers are all there, one step further; tell whether all are settled."""
    if not evaluation.pairs.exists():
        _make(evaluation)
    _take_choices(evaluation)
    _ask(actor, evaluation)
    return not evaluation.pairs.filter(Pair.OPEN).exists()


def of(evaluation: Evaluation) -> Sequence[Pair]:
    """Return the pairs in the dataset's order. One query."""
    rows = Pair.objects.filter(evaluation=evaluation).select_related("case", "run")
    return list(rows.order_by("case__position", "repeat"))


def _make(evaluation: Evaluation) -> None:
    rows = evaluation.results.order_by("id").values_list("case_id", "repeat")
    Pair.objects.bulk_create(Pair(evaluation=evaluation, case_id=case, repeat=repeat) for case, repeat in rows)


def _take_choices(evaluation: Evaluation) -> None:
    ended = evaluation.pairs.filter(Pair.OPEN, run__isnull=False).exclude(run__state__in=OPEN_RUN_STATES)
    for pair in ended.select_related("run").order_by("id")[:BATCH]:
        run = pair.run
        if run is None:
            continue
        pair.cost_micros, pair.held_micros = cost_of(run), 0
        found = choosing.said(run)
        if found is None:
            message = (run.error or {}).get("message") or f"its run {run.state}"
            _lost(pair, f"The judge did not choose: {message}")
        else:
            _settled(pair, *found)


def _ask(actor: Actor, evaluation: Evaluation) -> None:
    open_pairs = evaluation.pairs.filter(Pair.OPEN)
    free = AT_ONCE - open_pairs.filter(run__isnull=False).count()
    if free <= 0:
        return
    left = outcome.left(evaluation)
    waiting = list(open_pairs.filter(run=None).select_related("case").order_by("id")[:BATCH])
    for pair, a, b in _with_answers(evaluation, waiting):
        if a is None or b is None or not (_says_something(a) and _says_something(b)):
            _lost(pair, "There are no two answers to choose between.")
        elif (plain := _plainly(a, b)) is not None:
            _settled(pair, plain[0], False, plain[1])
        elif _put_to_the_judge(actor, evaluation, pair, choosing.shown(pair.case, _output(a), _output(b)), left):
            free -= 1
            left = None if left is None else left - pair.held_micros
        if free <= 0:
            return


def _with_answers(evaluation: Evaluation, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Result | None, Result | None]]:
    """Yield pairs with both versions' results, the baseline's first. Two queries for each eight that are asked for."""
    for first in range(0, len(pairs), AT_ONCE):
        some = pairs[first : first + AT_ONCE]
        which = {"case__in": [one.case_id for one in some], "repeat__in": {one.repeat for one in some}}
        sides = []
        for one in (evaluation.baseline_id, evaluation.pk):
            rows = Result.objects.filter(evaluation=one, **which).select_related("run")
            sides.append({(row.case_id, row.repeat): row for row in rows})
        for pair in some:
            place = pair.case_id, pair.repeat
            yield pair, sides[0].get(place), sides[1].get(place)


def _plainly(a: Result, b: Result) -> tuple[int, str] | None:
    """Return what two answers come to, and why, where it takes no judge to see that."""
    if a.broke or b.broke:
        found = bool(a.broke) - bool(b.broke)
        return found, "Only one version answered." if found else "Neither version answered."
    return (0, "Both answers are the same.") if same(_output(a), _output(b)) else None


def _says_something(one: Result) -> bool:
    """Whether a result says something of its pipeline: it answered, or failed by itself."""
    run = one.run
    return run is not None and run.content_removed_at is None and (run.state == "succeeded" or bool(one.broke))


def _output(one: Result) -> Json:
    run: Run = one.run  # type: ignore[assignment]  # `_says_something` has looked
    return artifacts.whole(run.pk, run.large, "output", run.output)


def _put_to_the_judge(
    actor: Actor, evaluation: Evaluation, pair: Pair, given: Mapping[str, Json], left: int | None
) -> bool:
    """Start the judge's run within what is left to spend, in a replay take what it said to the same words before; tell
    whether one was started."""
    pair.key = choosing.key_of(evaluation.judge, evaluation.prefer, given)
    if evaluation.replay:
        _take_recorded(actor, pair)
        return False
    cap = judging.cap_of(left)
    if cap is not None and cap <= 0:
        _lost(pair, "What the evaluation may cost is used up, so the judge was not asked.")
        return False
    try:
        with transaction.atomic():
            version = choosing.version_of(actor, evaluation.pipeline, evaluation.judge, evaluation.prefer)
            pair.run = judging.start(actor, version, given, cap, evaluation.pipeline.slug)
    except Refused as refusal:
        _lost(pair, f"The judge could not be asked: {refusal.message}")
        return False
    pair.held_micros = cap or 0
    pair.save(update_fields=["run", "key", "held_micros"])
    return True


def _take_recorded(actor: Actor, pair: Pair) -> None:
    rows = Pair.objects.filter(key=pair.key, evaluation__workspace=actor.workspace).exclude(outcome="")
    old = rows.order_by("-id").first()
    if old is None:
        _lost(pair, "What the judge would choose here has not been recorded.")
    else:
        pair.outcome, pair.swayed, pair.reason = old.outcome, old.swayed, old.reason
        pair.save(update_fields=["outcome", "swayed", "reason", "key"])


def _settled(pair: Pair, found: int, swayed: bool, reason: str) -> None:
    pair.outcome, pair.swayed, pair.reason = _OUTCOMES[found], swayed, reason[:2_000]
    pair.save(update_fields=["outcome", "swayed", "reason", "cost_micros", "held_micros"])


def _lost(pair: Pair, why: str) -> None:
    pair.error, pair.held_micros = why[:1_000], 0
    pair.save(update_fields=["error", "key", "cost_micros", "held_micros"])
