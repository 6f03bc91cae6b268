"""Turns on the pages of a run: the team's card says how far it is, its drawer what was said."""

import pytest

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from runs import canvas
from runs.models import Run, Step
from runs.timeline import waterfall
from tests.pages.builders import a_run_of, a_step, an_event
from tests.people import Team, a_team, signed_in_as


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def run(team: Team) -> Run:
    pipeline = gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "group-chat")
    run = a_run_of(pipeline, team, state="running", input={"topic": "Bees"})
    a_step(run, "start", "input", state="succeeded", port="done")
    a_step(run, "chat", "team", state="running", input={"task": "Bees"}, title="Group chat")
    choice = {"next": "sceptic", "reason": "Doubts are missing.", "done": False}
    a_step(run, "chat~1.choose", "agent", state="succeeded", port="done", title="Moderator", output=choice)
    a_step(
        run,
        "chat~1.speak_2",
        "agent",
        state="succeeded",
        port="done",
        title="Sceptic",
        output="They <b>sting</b>.",
        cost_micros=1_500,
    )
    a_step(run, "chat~2.choose", "agent", state="running", title="Moderator", cost_micros=500)
    return run


def card(run: Run) -> canvas.Card:
    return next(one for one in canvas.cards(run, canvas.picture_of(run)) if one.placed.place == "chat")


def test_the_card_of_a_team_says_which_turn_it_is_in_and_what_all_of_it_cost(run: Run, team: Team) -> None:
    assert (card(run).turns, card(run).cost_micros, card(run).total) == ("turn 2", 2_000, 1)
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert content.count("turn 2") == 2, "on the card and in the outline"
    assert "The first leads" in content


def test_the_group_of_a_team_says_who_speaks_now_and_how_often_each_has(run: Run, team: Team) -> None:
    crew = {one.mate.title: (one.count, one.at_work, one.step and one.step.path) for one in card(run).crew}
    assert crew == {
        "Moderator": ("2 turns", 1, "chat~2.choose"),
        "Advocate": ("", 0, None),
        "Sceptic": ("1 turn", 0, "chat~1.speak_2"),
        "Practitioner": ("", 0, None),
    }
    assert card(run).at_work == "Moderator"
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert 'class="mate running"' in content
    assert "turn 2 · Moderator" in content or "turn 2</a> · Moderator" in content, "in the list too"


def test_a_team_in_which_nobody_was_asked_shows_who_takes_part(run: Run, team: Team) -> None:
    Step.objects.filter(run=run, path__contains="~").delete()
    Step.objects.filter(run=run, path="chat").delete()
    assert [one.count for one in card(run).mates] == ["", "", "", ""]
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/").content.decode()
    assert content.count('class="mate"') == 4


def test_a_member_whose_turn_failed_says_so(run: Run) -> None:
    Step.objects.filter(run=run, path="chat~1.speak_2").update(state="failed")
    assert [one.mate.title for one in card(run).crew if one.failed] == ["Sceptic"]


def test_the_drawer_of_a_team_shows_what_was_said(run: Run, team: Team) -> None:
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/step/?path=chat").content.decode()
    assert "What was said" in content
    assert "sceptic: Doubts are missing." in content
    assert "<dt>Cost</dt><dd><b>$0.002</b></dd>" in content, "what its turns cost is what it cost"
    assert "They &lt;b&gt;sting&lt;/b&gt;." in content
    assert "?path=chat%7E1.speak_2" in content or "?path=chat~1.speak_2" in content


def test_a_step_in_a_turn_opens_and_no_fork_begins_there(run: Run, team: Team) -> None:
    response = signed_in_as(team.alice).get(f"/runs/{run.pk}/step/", {"path": "chat~1.speak_2"})
    assert response.status_code == 200
    assert "Sceptic, turn 1" in response.content.decode()
    assert "Rerun from here" not in response.content.decode()


def test_steps_and_timeline_name_the_turn(run: Run, team: Team) -> None:
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/?view=steps").content.decode()
    assert "Moderator, turn 2" in content
    titles = [row.title for row in waterfall(run).rows]
    assert titles == ["Start", "Group chat", "Turn 1 · Moderator", "Turn 1 · Sceptic", "Turn 2 · Moderator"]


def test_a_change_in_a_turn_repaints_the_team(run: Run, team: Team) -> None:
    an_event(run, "turn_started", "chat", turn=2, who=["Moderator"])
    an_event(run, "step_started", "chat~2.choose", attempt=1)
    content = signed_in_as(team.bob).get(f"/runs/{run.pk}/changes?after=0").content.decode()
    assert 'id="card-chat"' in content
    assert "Turn 2 of “Group chat” began: Moderator." in content
    assert "“Moderator, turn 2” began." in content
