"""A pipeline is published only after exactly its draft has passed what a manager asks of it."""

from typing import Any

import pytest
from django.test import Client

from accounts.errors import Forbidden, Invalid, NotFound
from accounts.models import AuditEntry
from evals import cases as case_files
from evals import datasets, evaluations, gates, progress
from evals.evaluations import Order
from evals.gates import Demand
from evals.models import Evaluation, PublishGate, Result
from pipelines import drafts, publish
from pipelines.models import Pipeline
from tests.evals.builders import a_case, a_dataset, a_document, an_echo
from tests.people import Team, acting, bearer, signed_in_as

JUDGE, MILD_JUDGE = "demo/judge", "demo/writer"
LAX = [{"type": "latency", "max_seconds": 3_600}]


@pytest.fixture
def draft(team: Team) -> Pipeline:
    """A pipeline with a published version, a changed draft, and nine of ten answers that must pass."""
    an_echo(team)
    a_dataset(team, *(a_case(f"c{number}", "Hello", expected_output="Hello") for number in range(10)))
    gates.put(acting(team.carol), "echo", Demand("greetings", 0.9, repeats=1))
    return edited(team, "Well: ${input.text}")


def edited(team: Team, prompt: str) -> Pipeline:
    pipeline = Pipeline.objects.select_related("draft").get(slug="echo")
    drafts.save(acting(team.alice), pipeline, a_document("echo", prompt), pipeline.draft.revision)
    return pipeline


def evaluated(team: Team, passed: int, errors: int = 0, **wishes: Any) -> Evaluation:
    """Return an ended evaluation of the draft; nothing runs."""
    order = Order(**{"pipeline": "echo", "dataset": "greetings", "version": "draft", "repeats": 1, **wishes})
    evaluation = evaluations.start(acting(team.alice), order)
    for number, result in enumerate(evaluation.results.order_by("id")):
        result.state = Result.State.ERROR if number < errors else Result.State.SCORED
        result.passed = number < passed + errors
        result.score = float(result.passed)
        result.save()
    progress.advance(evaluation.pk)
    return evaluation


def stopped(team: Team) -> str:
    """Return why the draft cannot be published."""
    with pytest.raises(Invalid) as refusal:
        publish.publish(acting(team.alice), Pipeline.objects.get(slug="echo"))
    assert refusal.value.code == "not_publishable"
    [problem] = refusal.value.extra["problems"]
    assert problem["code"] == "not_evaluated"
    return str(problem["message"])


def test_a_draft_that_was_not_evaluated_is_not_published_and_it_is_said_why(team: Team, draft: Pipeline) -> None:
    said = stopped(team)
    assert said == (
        "Before a draft is published, 90 % of its answers to greetings must pass. It has not been evaluated on version "
        "1 of it. Evaluate the draft."
    )
    alice = signed_in_as(team.alice)
    page = alice.get("/pipelines/echo/publish/").content.decode()
    assert said in page
    assert " disabled>Publish version 2" in page
    answer = Client().post(
        "/api/v1/pipelines/echo/publish", {}, "application/json", headers=bearer(team.alice, team.workspace)
    )
    assert (answer.status_code, answer.json()["problems"][0]["message"]) == (422, said)


def test_what_passed_is_published_and_what_was_changed_since_is_not(team: Team, draft: Pipeline) -> None:
    evaluated(team, passed=9)
    assert "disabled" not in signed_in_as(team.alice).get("/pipelines/echo/publish/").content.decode()
    edited(team, "Now: ${input.text}")
    stopped(team)
    edited(team, "Well: ${input.text}")
    assert publish.publish(acting(team.alice), draft).number == 2


@pytest.mark.parametrize(
    ("made", "lack"),
    [
        ({"passed": 8}, "80 % did. Change the draft, then evaluate it."),
        ({"passed": 9, "errors": 1}, "In its evaluation not every answer could be scored. Evaluate the draft again."),
        ({"passed": 10, "version": None}, "It has not been evaluated on version 1 of it."),
        ({"passed": 10, "asserts": LAX}, "It has not been evaluated on version 1 of it."),
    ],
)
def test_what_does_not_pass_it_is_no_reason_to_publish(
    team: Team, draft: Pipeline, made: dict[str, Any], lack: str
) -> None:
    evaluated(team, **made)
    assert lack in stopped(team)


def test_the_newest_evaluation_counts_also_where_it_was_cancelled(team: Team, draft: Pipeline) -> None:
    evaluated(team, passed=10)
    open_one = evaluations.start(acting(team.alice), Order("echo", "greetings", version="draft"))
    assert "Wait for its end." in stopped(team)
    evaluations.cancel(acting(team.alice), open_one.pk)
    assert "Its newest evaluation was cancelled. Evaluate the draft again." in stopped(team)
    evaluated(team, passed=10)
    evaluated(team, passed=2)
    assert "20 % did." in stopped(team)
    evaluated(team, passed=10)
    assert publish.publish(acting(team.alice), draft).number == 2


def test_cases_that_who_composes_adds_do_not_count_until_who_sets_rules_says_so(team: Team, draft: Pipeline) -> None:
    easier = [a_case("x", "Hi", expected_output="Hi")]
    datasets.add_version(acting(team.alice), "greetings", case_files.read(easier))
    evaluated(team, passed=1)
    assert "on version 1 of it." in stopped(team)
    address, form = "/pipelines/echo/gate/", {"dataset": "greetings", "min_pass_rate": "90", "repeats": "1"}
    hers, his = (signed_in_as(person).get(address).content.decode() for person in (team.carol, team.alice))
    assert "Use the newest version of greetings: 2 instead of 1" in hers
    assert "Use the newest version" not in his
    assert "dataset_version=1&amp;version=draft&amp;repeats=1" in his
    assert signed_in_as(team.alice).post(address, {**form, "newest": "on"}).status_code == 403
    signed_in_as(team.carol).post(address, form)
    assert "on version 1 of it." in stopped(team)
    signed_in_as(team.carol).post(address, {**form, "newest": "on"})
    assert PublishGate.objects.get().dataset.number == 2
    assert publish.publish(acting(team.alice), draft).number == 2


def test_fewer_answers_to_each_case_or_another_judge_do_not_count(team: Team, draft: Pipeline) -> None:
    rubric = [{"type": "rubric", "rubric": "Is it kind?"}]
    a_dataset(team, a_case("one", "Hello", asserts=rubric), name="kind")
    with pytest.raises(Invalid) as refusal:
        gates.put(acting(team.carol), "echo", Demand("kind", 0.9))
    assert (refusal.value.code, refusal.value.where) == ("invalid_gate", "/judge")
    gates.put(acting(team.carol), "echo", Demand("kind", 0.9, judge=JUDGE, repeats=2))
    for made in ({"judge": JUDGE, "repeats": 1}, {"judge": MILD_JUDGE, "repeats": 2}):
        evaluated(team, passed=2, dataset="kind", **made)
        assert f"on version 1 of it, each case at least 2 times, with {JUDGE} as the judge." in stopped(team)
    evaluated(team, passed=3, dataset="kind", judge=JUDGE, repeats=3)
    assert publish.publish(acting(team.alice), draft).number == 2


@pytest.mark.parametrize(
    ("demand", "where"),
    [
        (Demand("greetings", 0.9, repeats=0), "/repeats"),
        (Demand("greetings", 0.9, repeats=21), "/repeats"),
    ],
)
def test_what_no_evaluation_could_do_is_not_asked_for(team: Team, draft: Pipeline, demand: Demand, where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        gates.put(acting(team.carol), "echo", demand)
    assert (refusal.value.code, refusal.value.where) == ("invalid_gate", where)
    assert PublishGate.objects.get().repeats == 1


def test_going_back_is_always_possible(team: Team, draft: Pipeline) -> None:
    assert publish.rollback(acting(team.alice), draft, 1).number == 2


def test_who_sets_rules_sets_and_takes_away_the_gate(team: Team, draft: Pipeline) -> None:
    for person in (team.alice, team.bob, team.erin):
        with pytest.raises(Forbidden):
            gates.put(acting(person), "echo", Demand("greetings", 0.1))
        with pytest.raises(Forbidden):
            gates.remove(acting(person), "echo")
    carol = signed_in_as(team.carol)
    assert "90 % of the answers" in carol.get("/pipelines/echo/gate/").content.decode()
    carol.post("/pipelines/echo/gate/", {"dataset": "greetings", "min_pass_rate": "99.5 %", "repeats": "1"})
    assert PublishGate.objects.get().min_pass_rate == 0.995
    carol.post("/pipelines/echo/gate/", {"remove": "1"})
    assert not PublishGate.objects.exists()
    assert publish.publish(acting(team.alice), draft).number == 2
    acts = AuditEntry.objects.filter(action__startswith="publish_gate").order_by("id").values_list("action", flat=True)
    assert list(acts) == ["publish_gate.set", "publish_gate.set", "publish_gate.removed"]


@pytest.mark.parametrize(
    ("dataset", "rate", "where"),
    [("greetings", 0, "/min_pass_rate"), ("greetings", 1.1, "/min_pass_rate"), ("greetings", float("nan"),
     "/min_pass_rate"), ("aimless", 0.5, "/dataset")],
)  # fmt: skip
def test_a_gate_that_says_nothing_is_refused(
    team: Team, draft: Pipeline, dataset: str, rate: float, where: str
) -> None:
    a_dataset(team, a_case("one", "Hello"), name="aimless")
    with pytest.raises(Invalid) as refusal:
        gates.put(acting(team.carol), "echo", Demand(dataset, rate))
    assert (refusal.value.code, refusal.value.where) == ("invalid_gate", where)


def test_it_is_set_read_and_taken_away_over_the_api(team: Team, draft: Pipeline) -> None:
    carol, address = bearer(team.carol, team.workspace), "/api/v1/pipelines/echo/publish-gate"
    body = {"dataset": "greetings", "min_pass_rate": 0.5}
    assert Client().put(address, body, "application/json", headers=carol).json()["min_pass_rate"] == 0.5
    found = Client().get(address, headers=carol).json()
    assert (found["dataset"], found["dataset_version"], found["judge"], found["repeats"]) == ("greetings", 1, None, 3)
    assert Client().delete(address, headers=carol).status_code == 204
    assert Client().get(address, headers=carol).json()["dataset"] is None
    with pytest.raises(NotFound):
        gates.put(acting(team.carol), "echo", Demand("nowhere", 0.5))


@pytest.mark.parametrize(("part", "said"), [(1, "100 %"), (0.9, "90 %"), (0.8996, "89.9 %"), (0.29, "29 %")])
def test_a_percentage_is_never_rounded_up_to_what_it_is_not(part: float, said: str) -> None:
    assert gates.percent(part) == said
