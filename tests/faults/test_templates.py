"""Templates of the gallery as they come, run through the API on a real worker, with the trace they leave."""

from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.models import User
from accounts.roles import Role
from pipelines import gallery
from pipelines.graph.model import Json
from runs.models import Note, Run
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


class Caller:
    """Alice, who starts a template through the API, and bob, who answers what it asks."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        gallery.instantiate(Actor(stage.team.alice, stage.team.workspace, frozenset(Role)), name)

    def started(self, **changed: Json) -> Run:
        body = {"input": {**gallery.template(self.name).sample, **changed}}
        answer = self._post(self.stage.team.alice, f"/pipelines/{self.name}/runs", body, 202)
        return Run.objects.get(pk=answer["id"])

    def ended(self, run: Run) -> Run:
        run = self.stage.wait(run)
        assert run.state == "succeeded", self.stage.explain(run)
        assert has_no_gap(run)
        assert books_balance(run)
        return run

    def question(self, run: Run) -> dict[str, Any]:
        """Return what the run asks once it waits."""
        self.stage.wait(run, "waiting")
        (asked,) = self._get("/approvals", self.stage.team.bob)["items"]
        return dict(self._get(f"/approvals/{asked['id']}", self.stage.team.bob))

    def decide(self, asked: dict[str, Any], body: dict[str, Json]) -> None:
        self._post(self.stage.team.bob, f"/approvals/{asked['id']}/decide", body, 200)

    def all_of(self, run: Run, what: str) -> list[dict[str, Any]]:
        return list(self._get(f"/runs/{run.pk}/{what}?limit=100", self.stage.team.alice)["items"])

    def steps(self, run: Run) -> dict[str, dict[str, Any]]:
        return {step["path"]: step for step in self.all_of(run, "steps")}

    def _get(self, path: str, who: User) -> Any:
        answer = Client().get(f"/api/v1{path}", headers=bearer(who, self.stage.team.workspace))
        assert answer.status_code == 200, answer.content
        return answer.json()

    def _post(self, who: User, path: str, body: dict[str, Json], status: int) -> Any:
        headers = bearer(who, self.stage.team.workspace)
        answer = Client().post(f"/api/v1{path}", body, "application/json", headers=headers)
        assert answer.status_code == status, answer.content
        return answer.json()


def test_one_agent_keeps_its_answer_in_the_notebook_once(stage: Stage) -> None:
    caller = Caller(stage, "one-agent")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    assert set(steps) == {"start", "answer", "result"}
    assert (steps["answer"]["meta"]["turns"], steps["answer"]["meta"]["tool_calls"]) == (2, 1)
    note = Note.objects.get(workspace=stage.team.workspace)
    assert note.text == run.output == steps["answer"]["output"]
    assert "selling online" in note.text.lower()
    spans = [span["name"] for span in caller.all_of(run, "spans") if span["path"] == "answer"]
    assert [name.split()[0] for name in spans].count("chat") == 2
    assert [name for name in spans if name.startswith("execute_tool")] == ["execute_tool notes.append"]


def test_the_votes_are_counted_and_the_most_win(stage: Stage) -> None:
    caller = Caller(stage, "vote")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    votes = {name: steps[name]["output"]["label"] for name in ("facts", "tone", "request")}
    assert votes == {"facts": "problem", "tone": "praise", "request": "problem"}
    assert steps["count"]["meta"]["tied"] is False
    assert (steps["ask"]["state"], steps["chosen"]["state"]) == ("skipped", "skipped")
    assert run.output["voted"]["label"] == "problem"
    assert {vote["value"]["label"]: vote["count"] for vote in run.output["voted"]["votes"]} == {
        "problem": 2,
        "praise": 1,
    }


def test_a_tied_vote_is_decided_by_a_person(stage: Stage) -> None:
    caller = Caller(stage, "vote")
    stage.worker("w1")
    run = caller.started(message="I love your boxes, but this one came late. Can you explain how that came about?")
    asked = caller.question(run)
    assert (asked["kind"], asked["path"]) == ("answer", "ask")
    assert [vote["count"] for vote in asked["show"]["votes"]] == [1, 1, 1]
    caller.decide(asked, {"decision": "answer", "payload": {"label": "question"}})
    run = caller.ended(run)
    steps = caller.steps(run)
    assert steps["count"]["meta"]["tied"] is True
    assert steps["voted"]["state"] == "skipped"
    assert run.output["chosen"]["label"] == steps["ask"]["output"]["label"] == "question"


def test_rows_are_loaded_once_and_only_when_approved(stage: Stage) -> None:
    caller = Caller(stage, "data-pipeline")
    stage.worker("w1")
    run = caller.started()
    asked = caller.question(run)
    rows = asked["payload"]["rows"]
    assert [row["name"] for row in rows] == ["Maya Lindqvist", "Sam Okafor", "Jo Park"]
    assert all(row["note"].startswith("Spring fair: ") for row in rows)
    assert not Note.objects.exists()
    caller.decide(asked, {"decision": "approve", "payload_hash": asked["payload_hash"]})
    run = caller.ended(run)
    notes = Note.objects.filter(book="crm").values_list("contact", "text")
    assert sorted(notes) == sorted((row["name"], row["note"]) for row in rows)
    assert run.output == {"result": {"rows": rows, "loaded": 3}}
    steps = caller.steps(run)
    assert {path for path in steps if "[" in path} == {f"load[{index}].log" for index in range(3)}
    assert steps["held"]["state"] == "skipped"


def test_rows_that_are_refused_are_not_loaded(stage: Stage) -> None:
    caller = Caller(stage, "data-pipeline")
    stage.worker("w1")
    run = caller.started()
    caller.decide(caller.question(run), {"decision": "reject", "reason": "These are not ours."})
    stage.wait(run)
    assert caller.steps(run)["load"]["state"] == "skipped"
    assert not Note.objects.exists()


def test_the_code_is_reviewed_until_it_is_good(stage: Stage) -> None:
    caller = Caller(stage, "code-change")
    stage.worker("w1")
    run = caller.ended(caller.started())
    steps = caller.steps(run)
    rounds = steps["build"]["meta"]["rounds"]
    parts = [f"build#{entry['round']}.{name}" for entry in rounds for name in ("code", "tests", "review")]
    assert list(steps) == ["start", "requirements", "design", "build", *parts, "result"]
    scores = [steps[f"build#{entry['round']}.review"]["output"]["score"] for entry in rounds]
    assert steps["build"]["meta"]["ended"] == "until"
    assert scores[-1] >= 8 > max(scores[:-1], default=0)
    last = f"build#{len(rounds)}"
    made = {"code": steps[f"{last}.code"]["output"], "tests": steps[f"{last}.tests"]["output"]}
    assert run.output["change"] == made
    assert run.output["design"] == steps["design"]["output"]
    calls = [span["path"] for span in caller.all_of(run, "spans") if span["model"]]
    assert calls == ["requirements", "design", *parts]
