"""Rounds on the pages of a run: the container says where it is, its steps show the newest round."""

import pytest

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from pipelines.models import Pipeline
from runs import canvas, tallies
from runs.models import Run
from tests.pages.builders import a_run_of, a_step, an_event
from tests.people import Team, a_team, signed_in_as


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    return gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "review-loop")


@pytest.fixture
def run(team: Team, pipeline: Pipeline) -> Run:
    run = a_run_of(pipeline, team, state="running", input={"topic": "Bees", "notes": "They fly."})
    a_step(run, "start", "input", state="succeeded", port="done")
    a_step(run, "write", "repeat", state="running", input={"max_rounds": 3}, title="Write and review")
    a_step(run, "write#1.draft", "agent", state="succeeded", port="done", cost_micros=1_000)
    a_step(run, "write#1.review", "agent", state="succeeded", port="done", cost_micros=500)
    a_step(run, "write#2.draft", "agent", state="running", cost_micros=0)
    return run


def cards(run: Run) -> dict[str, canvas.Card]:
    return {card.placed.place: card for card in canvas.cards(run, canvas.picture_of(run))}


def test_the_card_of_a_repeat_says_which_round_it_is_in(run: Run, team: Team) -> None:
    card = cards(run)["write"]
    assert (card.round, card.rounds, card.cost_micros) == (2, 3, 1_500)
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert content.count("round 2 of 3") == 2, "on the card and in the outline"


def test_steps_of_a_repeat_show_the_newest_round_and_the_cost_of_all(run: Run) -> None:
    found = cards(run)
    assert found["write.draft"].step is not None
    assert found["write.draft"].step.path == "write#2.draft"
    assert (found["write.draft"].done, found["write.draft"].total) == (0, 1)
    assert found["write.draft"].cost_micros == 1_000
    assert found["write.review"].step is None
    assert found["write.review"].css == "queued"
    assert found["write.review"].cost_micros == 500


def test_the_step_list_names_the_round_of_each_step(run: Run, team: Team) -> None:
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/?view=steps").content.decode()
    assert "Draft, round 1" in content
    assert "Draft, round 2" in content
    assert "write%232.draft" in content


def test_a_step_in_a_round_opens(run: Run, team: Team) -> None:
    response = signed_in_as(team.bob).get(f"/runs/{run.pk}/step/?path=write%232.draft")
    assert response.status_code == 200


def test_a_change_in_a_round_repaints_its_container(run: Run, team: Team) -> None:
    an_event(run, "round_started", "write", round=2, of=3)
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/changes?after=0").content.decode()
    assert "round 2 of 3" in content
    assert "Round 2 of “Write and review” began." in content


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("plain.path", True),
        ("write#2.draft", True),
        ("write#1.draft", False),
        ("a[1].b#2.c#1.x", False),
        ("a[1].b#3.y", True),
        ("a[0].b#1.x[3].y", True),
    ],
)
def test_only_the_newest_round_of_each_repeat_is_shown(path: str, is_held: bool) -> None:
    rounds = tallies.Rounds()
    for prefix in ("write#1", "write#2", "a[1].b#2.c#1", "a[1].b#3", "a[0].b#1", "a[1].b#2", ""):
        rounds.add(prefix)
    assert rounds.holds(path) is is_held
