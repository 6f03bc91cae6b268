"""Steps that no document has: what a fork keeps of them, where their outputs came from, and who made them."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.errors import Conflict, Invalid
from accounts.roles import Role
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Pipeline
from runs.engine.status import RunState
from runs.forks import Fork, can_begin_at, fork
from runs.models import Run, Step
from runs.services import Order, start_run
from tests.people import Team, a_team, bearer

pytestmark = pytest.mark.django_db

GRAPH = {
    "nodes": {
        "start": {"kind": "input"},
        "chat": {"kind": "team", "task": "Talk.", "members": ["ann", "ben"], "stop": {"max_turns": 2}},
        "end": {"kind": "output", "value": "${steps.chat.output}"},
    },
    "edges": [{"from": "start", "to": "chat"}, {"from": "chat", "to": "end"}],
}


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def everyone(team: Team) -> Actor:
    return Actor(team.alice, team.workspace, frozenset(Role))


@pytest.fixture
def pipeline(everyone: Actor) -> Pipeline:
    for name in ("ann", "ben"):
        agents.create(everyone, name, AgentFields("demo/writer", tools=("email.send@1",)))
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "talk", "name": "Talk"}
    pipeline = drafts.create(everyone, {**head, "budget": {"max_cost_usd": "1.00"}, "graph": GRAPH})
    publish.publish(everyone, pipeline, "")
    pipeline.refresh_from_db()
    return pipeline


@pytest.fixture
def run(everyone: Actor, pipeline: Pipeline) -> Run:
    """A run that ended, with what a worker would have written."""
    run = start_run(everyone, pipeline, Order({}))
    a_step(run, "start", "input", output={})
    a_step(run, "chat", "team", output="Yes.", input={"task": "Talk."})
    for turn, name, words in ((1, "ann", "Well."), (2, "ben", "Yes.")):
        step = {"kind": "agent", "agent": name, "title": name.capitalize()}
        made = {"step": step, "after": [], "trust": "model"}
        a_step(run, f"chat~{turn}.speak_{turn}", "agent", output=words, cost_micros=100, memo={"made": made})
    a_step(run, "end", "output", output="Yes.", port=None)
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, cost_micros=200)
    run.refresh_from_db()
    return run


def a_step(run: Run, path: str, kind: str, **fields: Any) -> Step:
    now = timezone.now()
    position = Step.objects.filter(run=run).count() + 1
    base = {"state": "succeeded", "port": "done", "attempt": 1, "started_at": now, "finished_at": now}
    node = path.rpartition(".")[2]
    return Step.objects.create(run=run, path=path, node=node, kind=kind, position=position, **{**base, **fields})


def test_a_fork_keeps_a_team_with_its_turns_and_what_they_say_of_themselves(everyone: Actor, run: Run) -> None:
    new = fork(everyone, run, Fork("end"))
    kept = {step.path: step for step in Step.objects.filter(run=new)}
    assert set(kept) == {"start", "chat", "chat~1.speak_1", "chat~2.speak_2"}
    assert kept["chat~2.speak_2"].memo["made"]["step"]["agent"] == "ben"
    assert kept["chat~2.speak_2"].flags == ["reused"]
    assert new.saved_micros == 200


def test_a_fork_from_a_team_runs_it_anew_as_a_whole(everyone: Actor, run: Run) -> None:
    assert set(Step.objects.filter(run=fork(everyone, run, Fork("chat"))).values_list("path", flat=True)) == {"start"}


@pytest.mark.parametrize("path", ["chat~1.speak_1", "lead>2.work", "write#1.draft"])
def test_no_fork_begins_inside_a_turn(everyone: Actor, run: Run, path: str) -> None:
    assert not can_begin_at(path)
    with pytest.raises(Invalid) as refused:
        fork(everyone, run, Fork(path))
    assert refused.value.code == "unknown_step"


def test_another_version_with_another_member_takes_over_no_team(everyone: Actor, run: Run, pipeline: Pipeline) -> None:
    from pipelines.models import Agent

    fields = AgentFields("demo/writer", instructions="Be bold.")
    agents.new_version(everyone, Agent.objects.get(slug="ben"), fields)
    version = publish.publish(everyone, pipeline, "")
    with pytest.raises(Conflict) as refused:
        fork(everyone, run, Fork("end", version=version.number))
    assert refused.value.code == "step_changed"


def test_a_fork_waits_for_what_a_made_action_cannot_undo(everyone: Actor, run: Run) -> None:
    made = {"step": {"kind": "tool", "tool": "email.send@1"}, "after": [], "trust": "model"}
    a_step(run, "chat~3.work", "tool", state="running", input={"args": {}}, memo={"made": made}, finished_at=None)
    with pytest.raises(Conflict) as refused:
        fork(everyone, run, Fork("chat"))
    assert refused.value.code == "step_running"


def test_the_lineage_of_a_team_leads_through_its_turns_to_its_members(team: Team, run: Run) -> None:
    headers = bearer(team.alice, team.workspace)
    answer = Client().get(f"/api/v1/runs/{run.pk}/lineage", {"path": "end"}, headers=headers).json()
    found = {origin["path"]: origin for origin in answer["items"]}
    assert set(found["chat"]["reads"]) == {"chat~1.speak_1", "chat~2.speak_2"}
    assert found["chat~2.speak_2"]["reads"] == ["chat~1.speak_1"]
    assert found["chat~2.speak_2"]["after"] == ["chat"]
    assert found["chat~1.speak_1"]["agent"] == "ann@1"
