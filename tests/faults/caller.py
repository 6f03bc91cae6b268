"""Somebody who uses the API: alice starts a template of the gallery as it is, bob answers what it asks."""

from typing import Any

from django.test import Client

from accounts.access import Actor
from accounts.models import User
from accounts.roles import Role
from pipelines import gallery
from pipelines.graph.model import Json
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.people import bearer

ANSWER = {"label": "question", "reply": "Thank you for writing."}
"""What bob says when he is asked for words of his own."""


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

    def agreed(self, run: Run) -> Run:
        """Say yes to whatever the run asks bob, until it has ended or waits for something that is not a person."""
        while self._asked() or not run.finished_at:
            for asked in self._asked():
                self.decide(asked, _yes(asked))
            wait_for(lambda: bool(self._asked()) or self._is_over(run), 60, lambda: self.stage.explain(run))
        return run

    def sends(self, topic: str, payload: Json) -> None:
        self._post(self.stage.team.alice, "/events", {"topic": topic, "payload": payload}, 202)

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

    def _asked(self) -> list[dict[str, Any]]:
        return list(self._get("/approvals?state=open&mine=true", self.stage.team.bob)["items"])

    @staticmethod
    def _is_over(run: Run) -> bool:
        run.refresh_from_db()
        return run.finished_at is not None


def _yes(asked: dict[str, Any]) -> dict[str, Json]:
    if asked["kind"] == "answer":
        wanted = asked["form"]["properties"]
        return {"decision": "answer", "payload": {name: ANSWER[name] for name in wanted}}
    return {"decision": "approve", "payload_hash": asked["payload_hash"]}
