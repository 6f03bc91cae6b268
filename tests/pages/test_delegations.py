"""Supervisors on the pages: what was asked, planned and given out, and a plan on the desk as people read it."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from pipelines.graph.canonical import digest
from runs import canvas, replay
from runs.delegations import plan_in
from runs.models import Run, Step
from tests.approvals.builders import a_question
from tests.pages.builders import HOSTILE, a_run_of, a_step, an_event
from tests.people import Team, a_team, signed_in_as

PLAN = [
    {"id": "part_1", "worker": "researcher", "task": HOSTILE, "args": {}, "uses": []},
    {"id": "text_1", "worker": "writer", "task": "Write it.", "args": {"to": "bo"}, "uses": ["part_1"]},
]


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture
def run(team: Team) -> Run:
    pipeline = gallery.instantiate(Actor(team.alice, team.workspace, frozenset(Role)), "planned-work")
    run = a_run_of(pipeline, team, state="running", input={"topic": "Bees"})
    a_step(run, "start", "input", state="succeeded", port="done")
    a_step(run, "work", "supervisor", state="running", input={"task": "Write."}, title="Plan, then work")
    answer = {"reason": "First one, then the other.", "steps": PLAN}
    a_step(run, "work~1.leader", "agent", state="succeeded", output=answer, title="Make a plan", cost_micros=300)
    made = {
        "made": {"step": {"kind": "agent", "agent": "researcher@1", "help": HOSTILE}, "after": [], "trust": "model"}
    }
    a_step(run, "work>1.part_1", "agent", state="running", title="Researcher", memo=made)
    a_step(run, "work>1.part_1>1.deeper", "agent", state="running", title="Somebody deeper", memo=made)
    return run


def drawer(team: Team, run: Run, path: str) -> str:
    answer = signed_in_as(team.bob).get(f"/runs/{run.pk}/step/", {"path": path})
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_drawer_of_a_supervisor_lists_its_plan_and_what_it_gave_out(team: Team, run: Run) -> None:
    content = drawer(team, run, "work")
    for words in ("part_1 · researcher", "text_1 · writer", "uses part_1", "Turn 1 · Make a plan"):
        assert words in content
    assert "First one, then the other." in content
    assert "Delegation 1 · Researcher" in content
    assert "Somebody deeper" not in content
    assert "<script>alert" not in content
    assert "Queued" in content, "the task that has not begun"


def test_the_group_of_a_supervisor_says_who_is_at_work_and_on_how_many_tasks(team: Team, run: Run) -> None:
    card = next(one for one in canvas.cards(run, canvas.picture_of(run)) if one.placed.place == "work")
    said = {one.mate.title: (one.count, one.at_work) for one in card.crew}
    leader, *_ = said
    assert said[leader] == ("1 turn", 0)
    assert said["Researcher"] == ("1 task", 1)
    assert said["Writer"] == ("", 0)
    assert card.at_work == "Researcher"


def test_a_moment_of_the_past_says_who_was_at_work_then(team: Team, run: Run) -> None:
    an_event(run, "run_started")
    an_event(run, "step_started", "work", attempt=1)
    an_event(run, "step_started", "work>1.part_1", attempt=1)
    an_event(run, "step_started", "start", attempt=1)
    drawn = canvas.picture_of(run)
    before, after = replay.moment(run, drawn, 2), replay.moment(run, drawn, 3)
    crews = [next(one for one in then.cards if one.placed.place == "work").crew for then in (before, after)]
    assert [sum(one.asked for one in crew if one.mate.title == "Researcher") for crew in crews] == [0, 1]
    assert [card.placed.place for card in replay.differing(before.cards, after.cards)] == ["work"]


def test_what_was_refused_is_said_when_the_supervisor_has_ended(team: Team, run: Run) -> None:
    refused = [{"turn": 1, "code": "unknown_worker", "message": "There is no worker 'ghost'."}]
    meta = {"plan": PLAN[:1], "refused": refused}
    Step.objects.filter(run=run, path="work").update(state="succeeded", meta=meta)
    content = drawer(team, run, "work")
    assert "There is no worker &#x27;ghost&#x27;." in content
    assert "text_1 · writer" not in content


def test_other_steps_have_no_such_list(team: Team, run: Run) -> None:
    assert "Asked and given out" not in drawer(team, run, "start")


def desk(team: Team, run: Run, payload: Any) -> str:
    question = a_question(run, "edit", payload=payload, payload_hash=digest(payload), roles=["reviewer"])
    return str(signed_in_as(team.bob).get(f"/approvals/{question.pk}/").content.decode())


def test_the_desk_reads_a_plan_out(team: Team, run: Run) -> None:
    content = desk(team, run, {"steps": PLAN})
    assert '<dt class="mono">part_1</dt><dd><b>researcher</b>' in content
    assert "<script>alert" not in content


def test_the_desk_leaves_nothing_out_of_what_only_looks_like_a_plan(team: Team, run: Run) -> None:
    content = desk(team, run, {"steps": [{**task, "danger": "hidden"} for task in PLAN]})
    assert '<dt class="mono">part_1</dt>' not in content
    assert "danger" in content


@pytest.mark.parametrize("value", [None, [], {"steps": 1}, {"steps": [1]}, {"steps": PLAN, "x": 1}, {"steps": [{}]}])
def test_what_is_no_plan_is_shown_as_it_is(value: Any) -> None:
    assert plan_in(value) == []
