"""Evaluations from start to verdict: every answer is a rehearsal of its own, carried out by a real worker."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import Count

from accounts.access import actor_for
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import Membership
from approvals.models import Approval
from evals import evaluations, progress
from evals.evaluations import Gate, Order
from evals.models import Evaluation, Metric, Result
from notices.models import Event
from runs.execution.worker import Worker
from runs.models import Run, Step
from tests.evals.builders import SEND, a_case, a_dataset, an_echo, changed, evaluated
from tests.people import Team, acting

pytestmark = pytest.mark.timeout(120)

SOON = {"type": "latency", "max_seconds": 60}
CHEAP = {"type": "cost", "max_usd": "1"}


def scores(evaluation: Evaluation) -> list[float | None]:
    return list(evaluation.results.order_by("case__position", "repeat").values_list("score", flat=True))


def test_each_case_is_answered_as_often_as_asked_and_scored(team: Team, worker: Worker) -> None:
    echo = an_echo(team)
    a_dataset(
        team,
        a_case("same", "Hello", expected_output="Hello"),
        a_case("other", "Hello", expected_output="Goodbye"),
        a_case(
            "half",
            "Hello",
            asserts=[{"type": "contains", "value": ["Hello", "there"]}, {"type": "latency", "max_seconds": 60}],
        ),
    )

    done = evaluated(team, echo, repeats=2)

    assert done.state == "finished"
    assert done.summary is not None
    found = {(one.case.name, one.repeat): (one.state, one.score, one.passed) for one in done.results.all()}
    assert found == {
        ("same", 1): ("scored", 1.0, True),
        ("same", 2): ("scored", 1.0, True),
        ("other", 1): ("scored", 0.0, False),
        ("other", 2): ("scored", 0.0, False),
        ("half", 1): ("scored", 0.75, False),
        ("half", 2): ("scored", 0.75, False),
    }
    assert done.summary["score"] == pytest.approx(1.75 / 3)
    assert done.summary["pass_rate"] == pytest.approx(1 / 3)
    assert (done.summary["flaky"], done.summary["errors"]) == ([], 0)
    assert Metric.objects.count() == 8
    runs = Run.objects.all()
    assert runs.count() == 6
    assert all(run.rehearsal and run.state == "succeeded" for run in runs)
    assert done.summary["cost_micros"] == sum(run.cost_micros for run in runs) > 0


def test_nothing_is_sent_and_nobody_is_asked(team: Team, worker: Worker) -> None:
    approve = {"kind": "human", "mode": "approve", "guards": "send", "roles": ["reviewer"]}
    mailer = an_echo(team, "mailer", approve=approve, send=SEND)
    way = {"ran": ["send"], "tools": {"email.send": {"min": 1, "max": 1}}, "questions": {"min": 1, "max": 1}}
    a_dataset(team, a_case("mail", "Hello", expected_output="Hello", asserts=[{"type": "trajectory", **way}]))

    done = evaluated(team, mailer)

    assert [(one.state, one.passed) for one in done.results.all()] == [("scored", True)]
    assert Step.objects.get(path="send").output["simulated"] is True
    assert not Approval.objects.exists()
    assert not Event.objects.exists()


def test_what_a_person_guards_does_not_go_out_though_it_only_reads(team: Team, worker: Worker) -> None:
    nowhere = {"method": "GET", "url": "http://127.0.0.1:9/?q=${input.text}"}
    look = {"kind": "tool", "tool": "http.request@1", "args": nowhere}
    approve = {"kind": "human", "mode": "approve", "guards": "look", "roles": ["reviewer"]}
    a_dataset(team, a_case("secret", "Hello", expected_output="Hello"))

    evaluated(team, an_echo(team, "looker", approve=approve, look=look))

    step = Step.objects.get(path="look")
    assert (step.state, step.output["simulated"]) == ("succeeded", True)


def test_a_run_that_is_no_rehearsal_is_asked_about_whatever_its_origin_says(team: Team, worker: Worker) -> None:
    from runs.engine.origin import Origin
    from runs.services import Order as RunOrder
    from runs.services import start_run
    from tests.conftest import wait_for

    mailer = an_echo(team, "mailer", send=SEND)
    start_run(acting(team.alice), mailer, RunOrder({"text": "Hi"}, origin=Origin(unattended=True).as_json()))

    wait_for(lambda: Approval.objects.filter(state="open").exists(), 30)


def test_an_error_is_no_failure(team: Team, worker: Worker) -> None:
    """A case that does not fit the start form, and one that cannot be scored, count neither as passed nor as failed."""
    echo = an_echo(team)
    a_dataset(
        team,
        a_case("fits", "Hello", expected_output="Hello"),
        {"name": "misfit", "inputs": {"txet": "Hello"}, "expected_output": "Hello"},
        a_case("nothing expected", "Hello", asserts=[{"type": "json_field", "pointer": "/a"}]),
    )

    done = evaluated(team, echo)

    assert done.summary is not None
    assert {one.case.name: one.state for one in done.results.all()} == {
        "fits": "scored",
        "misfit": "error",
        "nothing expected": "error",
    }
    assert (done.summary["cases"], done.summary["errors"], done.summary["pass_rate"]) == (1, 2, 1.0)


def test_a_pipeline_that_fails_by_itself_scores_nothing(team: Team, worker: Worker) -> None:
    check = {"kind": "check", "value": "${steps.say.output}", "rules": [{"rule": "contains", "text": "please"}]}
    strict = an_echo(team, "strict", check=check)
    a_dataset(
        team,
        a_case("rude", "Go.", expected_output="Go."),
        a_case(
            "seen", "Go.", asserts=[{"type": "equals", "value": "Go.", "of": "say"}, {"type": "cost", "max_usd": "1"}]
        ),
    )

    done = evaluated(team, strict)

    rude, seen = done.results.order_by("case__position")
    assert (rude.state, rude.score, rude.passed) == ("scored", 0.0, False)
    assert "please" in rude.broke
    assert (seen.score, seen.passed) == (1.0, True)


def test_a_judge_is_asked_once_for_each_answer_and_paid_for(team: Team, worker: Worker) -> None:
    echo = an_echo(team)
    polite = {"type": "rubric", "rubric": "Is it polite? ${not a hole}", "min_score": 0}
    a_dataset(team, a_case("one", "Hello", expected_output="Hello", asserts=[polite]))

    done = evaluated(team, echo, judge="demo/judge")

    [result] = done.results.all()
    [metric] = result.metrics.all()
    assert (result.state, metric.type, metric.passed) == ("scored", "rubric", True)
    assert metric.score is not None
    assert 0 <= metric.score <= 1
    assert metric.reason
    assert metric.run is not None
    assert metric.run.rehearsal
    assert metric.run.origin["unattended"] is True
    assert metric.cost_micros == metric.run.cost_micros > 0
    assert done.summary is not None
    assert done.summary["judges_micros"] == metric.cost_micros
    asked = Step.objects.get(run=metric.run, path="judge").input["rubrics"][0]["rubric"]
    assert asked == "Is it polite? ${not a hole}"


def test_a_judge_must_be_there_and_must_not_judge_itself(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello", asserts=[{"type": "rubric", "rubric": "Is it polite?"}]))
    for judge, code in (("", "no_judge"), ("demo/echo", "same_judge"), ("nowhere/model", "not_publishable")):
        with pytest.raises(Invalid) as refusal:
            evaluations.start(acting(team.alice), Order(echo.slug, "greetings", judge=judge))
        assert refusal.value.code == code
    assert not Evaluation.objects.exists()


def test_a_version_is_compared_with_another_on_the_same_cases(team: Team, worker: Worker) -> None:
    echo = an_echo(team)
    changed(team, echo, "Well: ${input.text}")
    texts = [f"Hello {number}" for number in range(6)]
    a_dataset(team, *(a_case(text, text, expected_output=text) for text in texts))
    gate = Gate(min_pass_rate=0.5, max_regression=0.1)

    worse = evaluated(team, echo, baseline=1, gate=gate)

    assert worse.baseline is not None
    assert worse.comparison is not None
    assert (worse.version.number, worse.baseline.version.number) == (2, 1)
    assert worse.comparison["verdict"] == "worse"
    assert (worse.comparison["difference"], worse.comparison["lost"]) == (-1.0, 6)
    assert [sentence.split(":")[0] for sentence in worse.missed] == ["Pass rate", "Regression"]

    again = evaluated(team, echo, version=1, baseline=1)
    assert again.baseline_id == worse.baseline_id, "what has been evaluated already is not paid for again"
    assert again.comparison is not None
    assert again.comparison["verdict"] == "no clear difference"
    assert again.missed == []


def test_no_more_is_spent_than_the_gate_allows(team: Team, worker: Worker) -> None:
    echo = an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello " * 600, expected_output="x") for number in range(12)))
    one = evaluated(team, echo, dataset="greetings")
    assert one.summary is not None
    price = one.summary["cost_micros"] // 12
    most = price * 4

    capped = evaluated(team, echo, gate=Gate(max_cost_usd=f"0.{most:06d}"))

    assert capped.summary is not None
    spent = sum(Run.objects.filter(pk__in=capped.results.values("run")).values_list("cost_micros", flat=True))
    assert 0 < spent <= most
    assert capped.summary["errors"] >= 8
    assert capped.state == "finished"
    assert not Event.objects.exists(), "nobody is told of each run's cap"


def test_a_replay_scores_again_what_was_answered_and_starts_nothing(team: Team, worker: Worker) -> None:
    echo = an_echo(team)
    polite = {"type": "rubric", "rubric": "Is it polite?", "min_score": 0}
    a_dataset(team, a_case("one", "Hello", expected_output="Hello", asserts=[polite, {"type": "cost", "max_usd": "1"}]))
    first = evaluated(team, echo, judge="demo/judge", repeats=2)
    runs = Run.objects.count()

    again = evaluated(team, echo, judge="demo/judge", repeats=2, replay=True)

    assert Run.objects.count() == runs
    assert again.summary is not None
    assert first.summary is not None
    assert [one.score for one in again.results.order_by("repeat")] == [
        one.score for one in first.results.order_by("repeat")
    ]
    assert again.summary["cost_micros"] == 0

    other = evaluated(team, echo, judge="demo/writer", repeats=2, replay=True)
    assert [one.state for one in other.results.all()] == ["error", "error"], "another judge has not been heard"
    more = evaluated(team, echo, judge="demo/judge", repeats=3, replay=True)
    assert [one.state for one in more.results.order_by("repeat")] == ["scored", "scored", "error"]


def test_a_replay_of_what_was_never_answered_is_refused(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    with pytest.raises(Invalid) as refusal:
        evaluations.start(acting(team.alice), Order(echo.slug, "greetings", replay=True))
    assert refusal.value.code == "nothing_recorded"
    assert not Evaluation.objects.exists()


def test_workers_at_the_same_moment_start_each_run_once(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(4)))
    evaluation = evaluations.start(acting(team.alice), Order(echo.slug, "greetings", repeats=2))

    def a_poll(_: int) -> bool:
        try:
            return progress.advance(evaluation.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        took = list(pool.map(a_poll, range(24)))

    assert any(took)
    assert Run.objects.count() == 8
    assert Result.objects.filter(state="running").values("run").distinct().count() == 8


def test_steps_that_are_repeated_do_nothing_twice(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(3)))
    evaluation = evaluations.start(acting(team.alice), Order(echo.slug, "greetings", repeats=2))
    for _ in range(4):
        assert progress.advance(evaluation.pk)
    assert Run.objects.count() == 6
    doubled = Result.objects.values("run").annotate(n=Count("pk")).filter(n__gt=1)
    assert not doubled.exists()
    assert set(Result.objects.values_list("state", flat=True)) == {"running"}


def test_a_cancelled_evaluation_stops_its_runs(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(3)))
    evaluation = evaluations.start(acting(team.alice), Order(echo.slug, "greetings"))
    progress.advance(evaluation.pk)
    with pytest.raises(Forbidden):
        evaluations.cancel(acting(team.bob), evaluation.pk)
    with pytest.raises(NotFound):
        evaluations.cancel(acting(team.charlie), evaluation.pk)

    cancelled = evaluations.cancel(acting(team.carol), evaluation.pk)

    assert cancelled.state == "cancelled"
    asked = Run.objects.filter(inbox__key="cancel").count()
    assert asked == Run.objects.count() == 8
    assert not progress.advance(evaluation.pk)
    with pytest.raises(Conflict):
        evaluations.cancel(acting(team.carol), evaluation.pk)


def test_what_its_starter_may_no_longer_do_is_not_done(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    evaluation = evaluations.start(acting(team.alice), Order(echo.slug, "greetings"))
    Membership.objects.filter(user=team.alice).update(roles=["viewer"])

    progress.advance(evaluation.pk)

    evaluation.refresh_from_db()
    assert (evaluation.state, Run.objects.count()) == ("failed", 0)
    assert "start runs" in evaluation.reason


def test_who_may_not_run_may_not_evaluate(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    for person in (team.bob, team.carol, team.erin):
        with pytest.raises(Forbidden):
            evaluations.start(acting(person), Order(echo.slug, "greetings"))
    with pytest.raises(NotFound):
        evaluations.start(actor_for(team.charlie), Order(echo.slug, "greetings"))


@pytest.mark.parametrize(
    ("wishes", "where"),
    [
        ({"repeats": 0}, "/repeats"),
        ({"repeats": 21}, "/repeats"),
        ({"seed": -1}, "/seed"),
        ({"gate": Gate(min_pass_rate=1.5)}, "/gate/min_pass_rate"),
        ({"gate": Gate(max_regression=0.1)}, "/gate/max_regression"),
        ({"gate": Gate(max_cost_usd="0")}, "/gate/max_cost_usd"),
        ({"gate": Gate(max_cost_usd="lots")}, "/gate/max_cost_usd"),
        ({"asserts": [{"type": "vibes"}]}, "/asserts/0/type"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(team: Team, wishes: dict[str, object], where: str) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello", expected_output="Hello"))
    with pytest.raises(Invalid) as refusal:
        evaluations.start(acting(team.alice), Order(**{"pipeline": echo.slug, "dataset": "greetings", **wishes}))  # type: ignore[arg-type]
    assert refusal.value.where == where
    assert not Evaluation.objects.exists()


def test_a_case_without_anything_to_hold_it_against_is_refused(team: Team) -> None:
    echo = an_echo(team)
    a_dataset(team, a_case("one", "Hello"))
    with pytest.raises(Invalid, match="expects nothing"):
        evaluations.start(acting(team.alice), Order(echo.slug, "greetings"))
    evaluations.start(
        acting(team.alice), Order(echo.slug, "greetings", asserts=[{"type": "latency", "max_seconds": 5}])
    )
