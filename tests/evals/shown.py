"""Two evaluations at their end, made of rows alone: what their pages show, without a worker.

Half of the answers are rated, and the judge has chosen between both versions' answers.
"""

from typing import Any

from django.utils import timezone

from evals import evaluations, outcome, pairing, ratings
from evals.evaluations import Gate, Order
from evals.models import Evaluation, Metric, Result
from evals.ratings import Opinion
from runs.models import Run
from runs.services import Order as RunOrder
from runs.services import start_run
from tests.evals.builders import a_case, a_dataset, an_echo, changed
from tests.people import Team, acting

NAMES = ("Broken lamp, photo clear", "Wrong colour, no photo", "Late parcel, angry", "Two items, one broken",
         "Return address asked", "Refund over limit", "Threat of a bad review", "<b>Bold</b> & odd")  # fmt: skip
SAID = {"type": "contains", "value": ["sorry", "refund"], "name": "says sorry"}
SOON = {"type": "latency", "max_seconds": 5}


def two_evaluations(team: Team) -> Evaluation:
    """Return the evaluation of version 2 against version 1, each case answered twice; one case was not scored."""
    echo = an_echo(team)
    changed(team, echo, "Well: ${input.text}")
    a_dataset(team, *(a_case(name, name, expected_output=name, asserts=[SAID, SOON]) for name in NAMES))
    gate = Gate(min_pass_rate=0.9, max_cost_usd="1.00", max_regression=0.2)
    wishes = {"judge": "demo/judge", "prefer": "Which answer helps the customer more?"}
    found = evaluations.start(
        acting(team.alice), Order("echo", "greetings", baseline=1, repeats=2, gate=gate, **wishes)
    )
    assert found.baseline is not None
    for evaluation, turn in ((found.baseline, 3), (found, 5)):
        for number, result in enumerate(evaluation.results.order_by("id")):
            _answer(team, result, ((number * turn) % 11) / 10 if number != 9 else None)
        _end(evaluation)
    _rate(team, found)
    return Evaluation.objects.get(pk=found.pk)


def _answer(team: Team, result: Result, score: float | None) -> None:
    result.run = start_run(acting(team.alice), result.evaluation.pipeline, RunOrder({"text": "Hi"}, rehearsal=True))
    result.cost_micros, result.seconds = 14_000, 2.5
    result.state = Result.State.ERROR if score is None else Result.State.SCORED
    result.error = "" if score is not None else "The provider did not answer."
    if score is not None:
        result.score, result.passed = min(score, 1.0), score >= 0.5
        parts: list[dict[str, Any]] = [
            {"name": "says sorry", "type": "rubric", "score": result.score, "passed": result.passed,
             "reason": "It has “sorry”." if result.passed else "It lacks “refund”."},
            {"name": "latency", "type": "latency", "score": 1.0, "passed": True, "reason": "It took 2.50 s of 5 s."},
        ]  # fmt: skip
        Metric.objects.bulk_create(Metric(result=result, position=at, **part) for at, part in enumerate(parts))
    result.save()


def _rate(team: Team, evaluation: Evaluation) -> None:
    notes = ("It says sorry, but not what happens next.", "")
    for number, result in enumerate(evaluation.results.order_by("id")):
        if result.run and number % 2 == 0:
            Run.objects.filter(pk=result.run.pk).update(
                state="succeeded", output="We are sorry. A refund is on its way."
            )
            ratings.rate(acting(team.bob), result.run.pk, Opinion(number % 3 != 0, note=notes[number % 2]))


def _choose(evaluation: Evaluation) -> None:
    """Most pairs are won; in some the place decided, and one was not chosen."""
    pairing.are_settled(acting(evaluation.started_by), evaluation)  # type: ignore[arg-type]
    for number, pair in enumerate(evaluation.pairs.order_by("id")):
        pair.error = "The judge did not choose: the provider did not answer." if number == 9 else ""
        pair.outcome = "" if pair.error else ("won", "won", "tied", "won", "lost")[number % 5]
        pair.swayed, pair.reason = pair.outcome == "tied", "It names the refund and when it comes."
        pair.save()


def _end(evaluation: Evaluation) -> None:
    if evaluation.prefer:
        _choose(evaluation)
        evaluation.preference = outcome.preferred(evaluation)
    found, against = outcome.figures(evaluation), outcome.compared(evaluation)
    evaluation.summary, evaluation.state = found, Evaluation.State.FINISHED
    evaluation.comparison = outcome.comparison_json(against) if against else None
    evaluation.missed = outcome.missed(evaluation.gate, found, against)
    evaluation.finished_at = timezone.now()
    evaluation.save()
