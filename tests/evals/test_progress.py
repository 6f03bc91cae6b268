"""What takes evaluations forward when something is wrong with one: the others go on, and nothing is left running."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.errors import Invalid
from accounts.models import Membership
from evals import answers, evaluations, inspection, judging, outcome, progress, shapes
from evals.comparison import Case, compare
from evals.evaluations import Gate, Order
from evals.models import Evaluation, Metric, Result
from pipelines import drafts
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Pipeline
from runs.models import Run, Step
from runs.services import Order as RunOrder
from runs.services import start_run
from tests.evals.builders import a_case, a_dataset, a_document, an_echo, changed, published
from tests.people import Team, acting, signed_in_as

POLITE = {"type": "rubric", "rubric": "Is it polite?", "min_score": 0}
FOUND = {"pass_rate": 1.0, "errors": 0, "cost_micros": 5}


def started(team: Team, **wishes: Any) -> Evaluation:
    return evaluations.start(acting(team.alice), Order(**{"pipeline": "echo", "dataset": "greetings", **wishes}))


def told_to_stop() -> set[Any]:
    return set(Run.objects.filter(inbox__key="cancel").values_list("pk", flat=True))


@pytest.fixture
def cases(team: Team) -> None:
    an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(2)))


def test_more_assertions_than_a_case_may_have_are_refused_before_anything_runs(team: Team) -> None:
    an_echo(team)
    soon = {"type": "latency", "max_seconds": 60}
    a_dataset(team, a_case("short", "Hello", asserts=[soon]), a_case("long", "Hello", asserts=[soon] * 30))
    with pytest.raises(Invalid, match="'long' would have 51 assertions") as refusal:
        started(team, asserts=[soon] * 21)
    assert (refusal.value.code, refusal.value.where) == ("invalid_evaluation", "/asserts")
    assert started(team, asserts=[soon] * 20)


def test_one_that_cannot_be_taken_further_holds_up_no_other(
    team: Team, cases: None, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = started(team, repeats=1), started(team, repeats=1)
    Evaluation.objects.filter(pk=broken.pk).update(gate={"max_cost_micros": "lots"})

    progress.advance_all()

    assert sound.results.filter(state="running").count() == 2
    assert not broken.results.filter(state="running").exists()
    assert str(broken.pk) in caplog.text


def test_none_is_always_behind_the_others(team: Team, cases: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "AT_A_TIME", 1)
    both = started(team), started(team)
    for _ in range(60):
        progress.advance_all()
    assert all(one.results.filter(state="running").exists() for one in both)


def test_late_answers_and_late_judges_are_stopped(team: Team, cases: None) -> None:
    evaluation = started(team, repeats=1, asserts=[POLITE], judge="demo/judge")
    progress.advance(evaluation.pk)
    judged, answering = evaluation.results.order_by("id")
    alice = acting(team.alice)
    version = judging.version_of(alice, evaluation.pipeline, "demo/judge", POLITE)
    judge = judging.start(alice, version, {"text": "Hello"}, None)
    Metric.objects.create(result=judged, position=0, name="rubric", type="rubric", run=judge)
    Run.objects.filter(pk=judged.run_id).update(state="succeeded")
    Result.objects.filter(pk=judged.pk).update(state="judging")
    assert progress.advance(evaluation.pk)
    assert told_to_stop() == set()

    Run.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert progress.advance(evaluation.pk)

    assert told_to_stop() == {judge.pk, answering.run_id}


def test_a_run_that_has_just_ended_stays_as_it_ended(team: Team, cases: None) -> None:
    evaluation = started(team, repeats=1)
    progress.advance(evaluation.pk)
    run = Run.objects.earliest("number")
    run.state = "succeeded"
    evaluations.cancel_run(acting(team.alice), run, "Too late.")
    assert told_to_stop() == set()


def test_one_whose_starter_may_no_longer_run_stops_what_is_under_way(team: Team, cases: None) -> None:
    evaluation = started(team)
    progress.advance(evaluation.pk)
    assert Run.objects.count() == 6
    Membership.objects.filter(user=team.alice).update(roles=["viewer"])

    progress.advance(evaluation.pk)

    evaluation.refresh_from_db()
    assert evaluation.state == "failed"
    assert told_to_stop() == set(Run.objects.values_list("pk", flat=True))


def test_a_baseline_that_did_not_come_to_its_end_is_compared_with_nothing(team: Team) -> None:
    changed(team, an_echo(team), "Well: ${input.text}")
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(8)))
    evaluation = started(team, baseline=1, repeats=1, gate=Gate(max_regression=0.5))
    assert evaluation.baseline is not None
    Result.objects.update(state="scored", score=1.0, passed=True)
    evaluations.cancel(acting(team.alice), evaluation.baseline.pk)

    progress.advance(evaluation.pk)

    evaluation = Evaluation.objects.get(pk=evaluation.pk)
    assert (evaluation.state, evaluation.comparison) == ("finished", None)
    assert evaluation.missed == ["Regression: there is nothing of the baseline to compare with."]
    assert {line.before for line in inspection.view(evaluation).lines} == {None}
    said = "Not compared: the evaluation of the baseline, v1, was cancelled. Evaluate again."
    assert shapes.evaluation(evaluation)["not_compared"] == said
    page = signed_in_as(team.alice).get(f"/evaluations/{evaluation.pk}/")
    assert said in page.content.decode()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, []),
        (
            {"errors": 1},
            ["Pass rate: 1 answer could not be scored, so it is not known how many passed, at least 90.0%"],
        ),
        ({"errors": 3, "pass_rate": 0.5}, ["Pass rate: 50.0% passed, at least 90.0%"]),
        ({"errors": 3, "pass_rate": None}, ["Pass rate: nothing could be scored, at least 90.0%"]),
    ],
)
def test_a_pass_rate_of_which_answers_are_missing_is_not_known(found: dict[str, Any], said: list[str]) -> None:
    missed = outcome.missed({"min_pass_rate": 0.9}, {**FOUND, **found}, None)
    assert missed == [f"{sentence} must." for sentence in said]


def test_a_regression_of_which_answers_are_missing_is_not_known() -> None:
    same = [Case(f"c{n}", (1.0,), (True,)) for n in range(6)]
    against = compare(same, same, 0)
    gate = {"max_regression": 0.1}
    unknown = (
        "Regression: 2 answers could not be scored, so it is not known how the score compares with the baseline's."
    )
    assert outcome.missed(gate, FOUND, against) == []
    assert outcome.missed(gate, {**FOUND, "errors": 2}, against) == [unknown]
    assert outcome.missed(gate, {**FOUND, "errors": 1}, against, 1) == [unknown]


def test_a_judge_answers_in_neither_of_the_two_versions(team: Team, cases: None) -> None:
    alice, pipeline = acting(team.alice), Pipeline.objects.get(slug="echo")
    agents.create(alice, "writer", AgentFields("demo/writer", max_output=1_000))
    document = a_document("echo", "${input.text}")
    document["graph"]["nodes"]["say"]["agent"] = "writer@1"
    drafts.save(alice, pipeline, document, pipeline.draft.revision)
    published(alice, pipeline)
    assert started(team, asserts=[POLITE], judge="demo/echo")
    with pytest.raises(Invalid) as refusal:
        started(team, asserts=[POLITE], judge="demo/echo", baseline=1)
    assert refusal.value.code == "same_judge"


def test_a_judge_answers_in_no_pipeline_that_the_version_starts(team: Team, cases: None) -> None:
    alice = acting(team.alice)
    agents.create(alice, "writer", AgentFields("demo/writer", max_output=1_000))
    call = {"kind": "pipeline", "pipeline": "echo@1", "inputs": {"text": "${input.text}"}}
    document = a_document("outer", "${input.text}", call=call)
    document["graph"]["nodes"]["say"]["agent"] = "writer@1"
    published(alice, drafts.create(alice, document))
    assert started(team, pipeline="outer", asserts=[POLITE], judge="demo/judge")
    with pytest.raises(Invalid) as refusal:
        started(team, pipeline="outer", asserts=[POLITE], judge="demo/echo")
    assert refusal.value.code == "same_judge"


def test_of_a_run_only_the_outputs_that_are_asked_about_are_read(team: Team, cases: None) -> None:
    run = start_run(acting(team.alice), Pipeline.objects.get(slug="echo"), RunOrder({"text": "Hi"}, rehearsal=True))
    large = {"output": {"hash": "sha256:gone"}}
    for position, path in enumerate(("asked", "other")):
        row = {"output": "small"} if path == "asked" else {"large": large}
        Step.objects.create(run=run, path=path, node=path, kind="agent", position=position, state="succeeded", **row)
    way = answers.trajectory_of(run, ["asked"])
    assert {path: step.output for path, step in way.steps.items()} == {"asked": "small", "other": None}
