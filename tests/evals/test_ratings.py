"""People rate answers: what they say is kept with who and when, changed ratings too, and held against the judge's."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import AuditEntry
from evals import evaluations, ratings, shapes
from evals.evaluations import Order
from evals.models import Evaluation, Metric, Rating, Result
from evals.ratings import Opinion
from runs.models import Run
from runs.services import Order as RunOrder
from runs.services import start_run
from tests.evals.builders import a_case, a_dataset, an_echo
from tests.people import Team, acting, bearer, signed_in_as

pytestmark = pytest.mark.timeout(60)

RUBRIC = {"type": "rubric", "rubric": "Is it kind?", "name": "kind"}


@pytest.fixture
def evaluation(team: Team) -> Evaluation:
    """Four answers, of which the judge passed the first three."""
    an_echo(team)
    a_dataset(team, *(a_case(f"c{n}", f"Hello {n}", expected_output="Hi", asserts=[RUBRIC]) for n in range(4)))
    found = evaluations.start(acting(team.alice), Order("echo", "greetings", judge="demo/judge", repeats=1))
    for number, result in enumerate(found.results.order_by("id")):
        result.run = start_run(acting(team.alice), found.pipeline, RunOrder({"text": "Hi"}, rehearsal=True))
        Run.objects.filter(pk=result.run.pk).update(state="succeeded", output=f"Hello {number}")
        passed = number < 3
        result.state, result.score, result.passed = Result.State.SCORED, 0.8 * passed, passed
        result.save()
        said = {"name": "kind", "type": "rubric", "score": 0.8 * passed, "passed": passed, "reason": "So it seems."}
        Metric.objects.create(result=result, position=0, **said)
    return found


def runs_of(evaluation: Evaluation) -> list[Run]:
    return [result.run for result in evaluation.results.select_related("run").order_by("id") if result.run]


def said(run: Run) -> list[tuple[str, bool, float, str]]:
    rows = Rating.objects.filter(run=run).select_related("by").order_by("id")
    return [(row.by.name if row.by else "", row.passed, row.score, row.note) for row in rows]


# What is kept


def test_a_verdict_or_a_score_is_enough_and_each_makes_the_other(team: Team, evaluation: Evaluation) -> None:
    run, bob = runs_of(evaluation)[0], acting(team.bob)
    for opinion in (
        Opinion(True),
        Opinion(False),
        Opinion(score=0.5),
        Opinion(score=0.49),
        Opinion(False, 0.9, " Why. "),
    ):
        ratings.rate(bob, run.pk, opinion)
    assert said(run) == [
        ("Bob", True, 1.0, ""),
        ("Bob", False, 0.0, ""),
        ("Bob", True, 0.5, ""),
        ("Bob", False, 0.49, ""),
        ("Bob", False, 0.9, "Why."),
    ]
    [newest] = ratings.current([run.pk])[run.pk]
    assert (newest.passed, newest.score) == (False, 0.9)
    told = AuditEntry.objects.filter(action="answer.rated").order_by("-id")
    assert told.count() == 5
    assert told[0].data == {"passed": False, "score": 0.9}, "the log holds no words about an answer"


def test_what_somebody_said_is_never_changed_or_removed(team: Team, evaluation: Evaluation) -> None:
    rating = ratings.rate(acting(team.bob), runs_of(evaluation)[0].pk, Opinion(True))
    for act in (lambda: Rating.objects.update(score=0.1), lambda: Rating.objects.all().delete()):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
    rating.refresh_from_db()
    assert (rating.score, rating.by) == (1.0, team.bob)


@pytest.mark.parametrize(
    ("opinion", "where"),
    [
        (Opinion(), "/passed"),
        (Opinion(note="Good."), "/passed"),
        (Opinion(score=1.1), "/score"),
        (Opinion(score=-0.1), "/score"),
        (Opinion(score=float("nan")), "/score"),
        (Opinion(True, note="x" * 2_001), "/note"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused(
    team: Team, evaluation: Evaluation, opinion: Opinion, where: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        ratings.rate(acting(team.bob), runs_of(evaluation)[0].pk, opinion)
    assert (refusal.value.code, refusal.value.where) == ("invalid_rating", where)
    assert not Rating.objects.exists()


def test_reviewers_composers_and_admins_rate_and_nobody_else(team: Team, evaluation: Evaluation) -> None:
    run = runs_of(evaluation)[0]
    for person in (team.bob, team.alice, team.dana):
        ratings.rate(acting(person), run.pk, Opinion(True))
    for person in (team.carol, team.erin):
        with pytest.raises(Forbidden):
            ratings.rate(acting(person), run.pk, Opinion(True))
    with pytest.raises(NotFound):
        ratings.rate(acting(team.charlie), run.pk, Opinion(True))
    assert Rating.objects.count() == 3


def test_a_run_without_an_answer_is_not_rated(team: Team, evaluation: Evaluation) -> None:
    run = runs_of(evaluation)[0]
    for state in ("running", "failed", "cancelled"):
        Run.objects.filter(pk=run.pk).update(state=state)
        with pytest.raises(Conflict) as refusal:
            ratings.rate(acting(team.bob), run.pk, Opinion(True))
        assert refusal.value.code == "run_not_succeeded"


# Judge and people


def test_the_judge_is_held_against_what_most_people_say(team: Team, evaluation: Evaluation) -> None:
    """The judge passes three of four. People: yes, no, evenly divided, no; a changed mind counts as it is now."""
    one, two, three, four = runs_of(evaluation)
    bob, alice, dana = (acting(person) for person in (team.bob, team.alice, team.dana))
    ratings.rate(bob, one.pk, Opinion(False))
    ratings.rate(bob, one.pk, Opinion(True))
    for person, verdict in ((bob, False), (alice, True), (dana, False)):
        ratings.rate(person, two.pk, Opinion(verdict))
    for person, verdict in ((bob, True), (alice, False)):
        ratings.rate(person, three.pk, Opinion(verdict))
    ratings.rate(bob, four.pk, Opinion(score=0.2))

    found = {one.metric: shapes.agreed(one) for one in ratings.agreed(evaluation)}

    table = {"answers": 3, "both_pass": 1, "judge_alone": 1, "people_alone": 0, "neither": 1}
    assert found["kind"] == {"metric": "kind", **table, "agreed": pytest.approx(2 / 3), "kappa": 0.4}
    assert found[ratings.ALL] == {**found["kind"], "metric": ratings.ALL}


def test_nothing_is_said_of_agreement_before_anybody_has_rated(team: Team, evaluation: Evaluation) -> None:
    assert ratings.agreed(evaluation) == []
    page = signed_in_as(team.bob).get(f"/evaluations/{evaluation.pk}/").content.decode()
    assert "The judge and people" not in page


# The pages


def test_the_queue_leads_from_answer_to_answer_and_back(team: Team, evaluation: Evaluation) -> None:
    bob, seen = signed_in_as(team.bob), []
    place = f"/evaluations/{evaluation.pk}/rate/"
    for _ in range(4):
        here = bob.get(place)["Location"]
        assert here.endswith(f"/rate/?evaluation={evaluation.pk}")
        page = bob.get(here).content.decode()
        assert "So it seems." not in page, "nobody is told what the judge said before they have said theirs"
        seen.append(here)
        answer = bob.post(here, {"passed": "no", "score": "0,25", "note": "Curt.", "evaluation": str(evaluation.pk)})
        assert answer["Location"] == place
        assert "So it seems." in bob.get(here).content.decode()
    assert len(set(seen)) == 4
    assert bob.get(place)["Location"] == f"/evaluations/{evaluation.pk}/"
    assert set(Rating.objects.values_list("score", "passed", "note")) == {(0.25, False, "Curt.")}
    page = bob.get(f"/evaluations/{evaluation.pk}/").content.decode()
    assert "The judge and people" in page
    assert "Rate answers" not in page
    assert "Rate answers" in signed_in_as(team.alice).get(f"/evaluations/{evaluation.pk}/").content.decode()


def test_a_form_that_says_nothing_is_shown_again_with_what_was_typed(team: Team, evaluation: Evaluation) -> None:
    place = f"/runs/{runs_of(evaluation)[0].pk}/rate/"
    for form, words in (({"note": "Hm."}, "Say whether"), ({"score": "much", "note": "Hm."}, "much is no number.")):
        answer = signed_in_as(team.bob).post(place, form)
        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert "Hm.</textarea>" in answer.content.decode()


def test_a_finished_run_is_rated_from_its_page(team: Team, evaluation: Evaluation) -> None:
    run = runs_of(evaluation)[0]
    place = f"/runs/{run.pk}/rate/"
    assert place in signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert place not in signed_in_as(team.erin).get(f"/runs/{run.pk}/").content.decode()
    assert signed_in_as(team.bob).post(place, {"passed": "yes"})["Location"] == place
    assert said(run) == [("Bob", True, 1.0, "")]


# The API


def test_ratings_are_given_and_read_over_the_api(team: Team, evaluation: Evaluation) -> None:
    run = runs_of(evaluation)[3]
    bob, root = bearer(team.bob, team.workspace), "/api/v1"

    def post(body: dict[str, Any]) -> Any:
        return Client().post(f"{root}/runs/{run.pk}/ratings", body, "application/json", headers=bob)

    def get(path: str) -> Any:
        return Client().get(root + path, headers=bob).json()

    assert post({"score": 0.9, "note": "Kind."}).status_code == 201
    made = post({"passed": True}).json()
    assert {name: made[name] for name in ("by", "passed", "score", "note")} == {
        "by": "bob@example.com", "passed": True, "score": 1.0, "note": "",
    }  # fmt: skip
    assert post({"passed": "yes"}).status_code == post({}).status_code == 422
    assert [one["score"] for one in get(f"/runs/{run.pk}/ratings")["items"]] == [1.0, 0.9]
    [rated] = [one for one in get(f"/evaluations/{evaluation.pk}/results")["items"] if one["ratings"]]
    assert (rated["case"], [one["score"] for one in rated["ratings"]]) == ("c3", [1.0])
    left = get(f"/evaluations/{evaluation.pk}/results?unrated=true")["items"]
    assert [one["case"] for one in left] == ["c0", "c1", "c2"]
    found = get(f"/evaluations/{evaluation.pk}/agreement")["items"]
    assert [(one["metric"], one["people_alone"], one["kappa"]) for one in found] == [
        ("kind", 1, 0.0),
        ("all assertions", 1, 0.0),
    ]


# There is an end to it


def test_a_person_rates_an_answer_some_times_and_no_more(team: Team, evaluation: Evaluation) -> None:
    run, bob = runs_of(evaluation)[0], acting(team.bob)
    for number in range(ratings.MOST):
        ratings.rate(bob, run.pk, Opinion(score=number / 100))
    with pytest.raises(Conflict) as refusal:
        ratings.rate(bob, run.pk, Opinion(True))
    assert refusal.value.code == "too_many_ratings"
    ratings.rate(acting(team.alice), run.pk, Opinion(True))
    ratings.rate(bob, runs_of(evaluation)[1].pk, Opinion(True))


def test_saying_the_same_again_adds_nothing(team: Team, evaluation: Evaluation) -> None:
    run, bob = runs_of(evaluation)[0], acting(team.bob)
    first = ratings.rate(bob, run.pk, Opinion(True, note="Kind."))
    assert ratings.rate(bob, run.pk, Opinion(True, note="Kind. ")) == first
    assert AuditEntry.objects.filter(action="answer.rated").count() == 1
    ratings.rate(bob, run.pk, Opinion(False))
    ratings.rate(bob, run.pk, Opinion(True, note="Kind."))
    assert len(said(run)) == 3


def test_what_people_said_comes_in_pages(team: Team, evaluation: Evaluation) -> None:
    run = runs_of(evaluation)[0]
    ratings.rate(acting(team.alice), run.pk, Opinion(True, note="The first of all."))
    for number in range(60):
        row = {"workspace": team.workspace, "run": run, "by": team.bob, "score": 1, "passed": True}
        Rating.objects.create(**row, note=f"Note {number:02}.")
    page = signed_in_as(team.alice).get(f"/runs/{run.pk}/rate/?evaluation={evaluation.pk}").content.decode()
    assert "Note 59." in page
    assert "Note 09." not in page
    assert "Change your rating" in page
    (older,) = re.findall(r'href="(\?evaluation=[^"]+cursor=[^"]+)"', page)
    page = signed_in_as(team.alice).get(f"/runs/{run.pk}/rate/{unescape(older)}").content.decode()
    assert "The first of all." in page
    assert "Note 59." not in page
