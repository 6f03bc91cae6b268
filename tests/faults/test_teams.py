"""Teams on real rows: the gallery's, run through the API, and a worker that dies in the middle of a turn."""

from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.roles import Role
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines import gallery
from runs.models import Call, Event, Run, Span, Step
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


class Caller:
    """Somebody who uses the API alone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.headers = bearer(stage.team.alice, stage.team.workspace)

    def run(self, name: str) -> dict[str, Any]:
        """Run a template of the gallery with its own sample, and return the run when it has ended."""
        gallery.instantiate(Actor(self.stage.team.alice, self.stage.team.workspace, frozenset(Role)), name)
        body = {"input": dict(gallery.template(name).sample)}
        started = Client().post(f"/api/v1/pipelines/{name}/runs", body, "application/json", headers=self.headers)
        assert started.status_code == 202, started.content
        run = self.stage.wait(Run.objects.get(pk=started.json()["id"]))
        assert run.state == "succeeded", self.stage.explain(run)
        assert has_no_gap(run)
        assert books_balance(run)
        return self.read(f"/runs/{run.pk}")

    def read(self, path: str) -> Any:
        answer = Client().get(f"/api/v1{path}", headers=self.headers)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def all_of(self, run: dict[str, Any], what: str) -> list[dict[str, Any]]:
        return list(self.read(f"/runs/{run['id']}/{what}?limit=100")["items"])


@pytest.fixture
def caller(stage: Stage) -> Caller:
    stage.worker("w1")
    return Caller(stage)


def test_the_debate_has_three_rounds_and_a_verdict(caller: Caller) -> None:
    run = caller.run("debate")
    steps = {step["path"]: step for step in caller.all_of(run, "steps")}
    speeches = {f"debate~{turn}.speak_{member}" for turn in (1, 2, 3) for member in (1, 2)}
    assert set(steps) == {"start", "debate", "result", *speeches, "debate~4.close"}
    assert {step["state"] for step in steps.values()} == {"succeeded"}
    assert len({steps[path]["output"] for path in speeches}) == 6, "nobody repeats himself"
    result = run["output"]
    assert result["winner"] in ("advocate", "sceptic", "nobody")
    assert result["verdict"] == steps["debate~4.close"]["output"]["verdict"]
    assert [line["by"] for line in result["transcript"]] == [*["advocate", "sceptic"] * 3, "debate-judge"]
    spans = caller.all_of(run, "spans")
    calls = [span["path"] for span in spans if span["model"]]
    assert sorted(calls) == sorted([*speeches, "debate~4.close"])
    names = {span["path"]: span["name"] for span in spans if not span["model"]}
    assert names["debate"] == "invoke_workflow debate"
    assert names["debate~1.speak_2"] == "invoke_agent sceptic"
    assert names["debate~4.close"] == "invoke_agent debate-judge"
    assert set(Span.objects.filter(model__isnull=False).values_list("node", flat=True)) == {"debate"}
    started = [event["payload"] for event in caller.all_of(run, "events") if event["type"] == "turn_started"]
    assert [(one["turn"], one["who"]) for one in started][-1] == (4, ["Debate judge"])


def test_the_moderator_calls_on_everybody_and_sums_up(caller: Caller) -> None:
    run = caller.run("group-chat")
    spoken = [line for line in run["output"]["transcript"] if line["part"] == "speak"]
    assert [line["by"] for line in spoken] == ["advocate", "sceptic", "practitioner"]
    paths = [step["path"] for step in caller.all_of(run, "steps")]
    turns = [part for turn in (1, 2, 3) for part in (f"chat~{turn}.choose", f"chat~{turn}.speak_{turn}")]
    assert [path for path in paths if "~" in path] == [*turns, "chat~4.choose", "chat~5.close"]
    assert run["output"]["result"]
    plans = [line.get("plan") for line in run["output"]["transcript"] if line["part"] == "choose"]
    assert [bool(plan) for plan in plans] == [True, False, False, False]


def test_the_front_desk_hands_the_message_to_the_right_specialist(caller: Caller) -> None:
    run = caller.run("swarm")
    hands = run["output"]["hands"]
    assert [(line["by"], line["hand_to"]) for line in hands] == [
        ("front-desk", "billing-specialist"),
        ("billing-specialist", None),
    ]
    assert run["output"]["answer"] == hands[-1]["said"]
    lineage = caller.read(f"/runs/{run['id']}/lineage?path=desk")
    assert {"desk~1.speak_1", "desk~2.speak_2"} <= {origin["path"] for origin in lineage["items"]}


def test_a_worker_killed_inside_a_turn_pays_for_no_finished_step_again(stage: Stage) -> None:
    members = [stage.agent("ann", 200), stage.agent("ben", 1500)]
    team = {"kind": "team", "task": "[run=${input.run} step=talk] Talk.", "members": members, "stop": {"max_turns": 3}}
    nodes = {
        "start": {"kind": "input"},
        "chat": team,
        "end": {"kind": "output", "value": "${steps.chat.meta.transcript}"},
    }
    pipeline = stage.pipeline("talk", nodes, ["start>chat", "chat>end"], budget={"max_cost_usd": "1.00"})
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("talk", times=2)
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert stage.asked() == {"talk": 4}, "three turns, one of them asked again"
    assert [line["turn"] for line in run.output] == [1, 2, 3]
    assert Call.objects.filter(run=run, path="chat~2.speak_2").count() == 2
    assert finished_twice(run) == []
    assert Step.objects.get(run=run, path="chat").meta["turns"] == 3
    assert Event.objects.filter(run=run, type="turn_started").count() == 3
    assert Span.objects.filter(run=run, model__isnull=False, agent=members[1]).count() == 2
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_member_s_mail_waits_for_its_approval_across_a_crash_and_leaves_once(stage: Stage) -> None:
    members = [stage.agent("ann"), stage.agent("mailer", tools=("email.send@1",))]
    nodes = {
        "start": {"kind": "input"},
        "chat": {"kind": "team", "task": "Tell Bo.", "members": members, "stop": {"max_turns": 2}},
        "end": {"kind": "output", "value": "${steps.chat.output}"},
    }
    pipeline = stage.pipeline("tell", nodes, ["start>chat", "chat>end"], budget={"max_cost_usd": "1.00"})
    mail = {"to": "bo@example.com", "subject": "Hi", "body": "Hello."}
    call = {"tool_calls": [{"name": "email_send", "args": mail}], "match": "You are mailer", "times": 1}
    stage.models.ask("/admin/script", [call])
    first = stage.worker("w1")
    run = stage.wait(stage.start(pipeline), "waiting")
    first.kill()
    question = Approval.objects.get(run=run, state="open")
    assert (question.payload, question.path) == ({"tool": "email.send@1", "args": mail}, "chat~2.speak_2")
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert [one["to"] for one in stage.mails()] == ["bo@example.com"]
    assert has_no_gap(run)
    assert books_balance(run)
