"""Supervisors on real rows: the templates of the gallery as they come, and a worker that dies with tasks under way."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.roles import Role
from approvals.models import Approval
from approvals.policy import Choice, Decision
from approvals.services import decide
from pipelines import gallery
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from runs import forks
from runs.models import Call, Event, Run, Step
from runs.services import Order, start_run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap
from tests.faults.test_children import a_child, all_is_well, total_of
from tests.people import acting, signed_in_as

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def started(stage: Stage, name: str) -> Run:
    """Start a template of the gallery with its own sample."""
    operator = Actor(stage.team.alice, stage.team.workspace, frozenset(Role))
    pipeline = gallery.instantiate(operator, name)
    return start_run(operator, pipeline, Order(dict(gallery.template(name).sample)))


def steps_of(stage: Stage, run: Run) -> dict[str, dict[str, Any]]:
    """Return the run's steps as the API tells them, by path."""
    answer = signed_in_as(stage.team.alice).get(f"/api/v1/runs/{run.pk}/steps", {"limit": 100})
    return {step["path"]: step for step in answer.json()["items"]}


def test_the_research_lead_shares_out_the_question_and_quotes_what_came_back(stage: Stage) -> None:
    stage.worker("w1")
    run = stage.wait(started(stage, "research-lead"))
    assert run.state == "succeeded", stage.explain(run)
    steps = steps_of(stage, run)
    assert {path for path in steps if ">" in path} == {
        "lead>1.researcher",
        "lead>2.market_analyst",
        "lead>3.technical_analyst",
    }
    assert [path for path in steps if "~" in path] == ["lead~1.leader", "lead~2.leader"]
    given = Event.objects.filter(run=run, type="task_given").order_by("seq")
    assert [event.payload["number"] for event in given] == [1, 2, 3]
    parts = run.output["result"]["parts"]
    assert [part["status"] for part in parts] == ["succeeded"] * 3
    assert all(
        f"“{part['value'].splitlines()[0].removeprefix('- ')}”" in run.output["result"]["answer"] for part in parts
    )
    assert steps["citations"]["meta"]["findings"] == []
    assert steps["doubtful"]["state"] == "skipped"
    assert has_no_gap(run)
    assert books_balance(run)

    again = stage.wait(forks.fork(acting(stage.team.alice), run, forks.Fork("citations")))
    assert again.state == "succeeded", stage.explain(again)
    assert (again.cost_micros, again.output) == (0, run.output), "all that the lead gave out is kept with it"
    assert steps_of(stage, again)["lead>2.market_analyst"]["flags"] == ["reused"]


def test_the_planned_work_waits_for_the_plan_to_be_approved_and_follows_the_edited_one(stage: Stage) -> None:
    stage.worker("w1")
    run = stage.wait(started(stage, "planned-work"), "waiting")
    approval = Approval.objects.get(run=run)
    assert (approval.kind, approval.path) == ("edit", "work~2.review")
    assert not Step.objects.filter(run=run, path__contains=">").exists()
    plan = approval.payload
    assert [step["worker"] for step in plan["steps"]] == ["researcher", "researcher", "writer", "editor"]
    shorter = {"steps": plan["steps"][:3]}
    decide(stage.bob, approval.pk, Decision(Choice.APPROVE, payload=shorter, payload_hash=approval.payload_hash))
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    steps = steps_of(stage, run)
    assert {path for path in steps if ">" in path} == {"work>1.part_1", "work>2.part_2", "work>3.text_1"}
    assert run.output["text"] == steps["work>3.text_1"]["output"]
    assert [step["id"] for step in run.output["plan"]] == ["part_1", "part_2", "text_1"]
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_worker_killed_while_tasks_are_under_way_loses_none_and_pays_for_none_twice(stage: Stage) -> None:
    first = stage.worker("w1", BATON_DEMO_LATENCY_MS="2000")
    run = started(stage, "research-lead")

    def tasks_are_asked() -> bool:
        return Call.objects.filter(run=run, path__contains=">", state="started").count() == 3

    wait_for(tasks_are_asked, 40, lambda: stage.explain(run))
    first.kill()
    stage.worker("w2", BATON_DEMO_LATENCY_MS="0")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert Event.objects.filter(run=run, type="task_given").count() == 3
    assert Call.objects.filter(run=run, path="lead~1.leader").count() == 1
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_leader_that_answers_badly_is_corrected_and_its_mail_goes_out_once_and_only_approved(stage: Stage) -> None:
    mail = {"to": "bo@example.com", "subject": "Ready", "body": "It is ready. ${input.run}"}
    wanted = [{"worker": "nobody", "task": "Do it."}, {"worker": "email.send", "args": mail}]
    answers: list[dict[str, Any]] = [
        {"text": "I would rather talk.", "times": 1},
        {"json": {"reason": "The mail.", "action": "delegate", "delegate": wanted}, "times": 1},
        {"json": {"reason": "It is out.", "action": "finish", "result": "Told bo."}},
    ]
    stage.models.ask("/admin/script", answers)
    nodes = {
        "start": {"kind": "input"},
        "lead": {
            "kind": "supervisor",
            "task": "Tell bo that it is ready.",
            "agent": stage.agent("boss"),
            "workers": [{"tool": "email.send@1"}],
            "budget": {"max_cost_usd": "0.50"},
        },
        "end": {"kind": "output", "value": "${steps.lead.output}"},
    }
    first = stage.worker("w1")
    run = stage.wait(stage.start(stage.pipeline("teller", nodes, ["start>lead", "lead>end"])), "waiting")
    question = Approval.objects.get(run=run)
    assert question.payload == {"tool": "email.send@1", "args": mail}
    assert set(question.trust.values()) == {"model"}
    assert stage.mails() == []
    first.kill()
    decide(stage.bob, question.pk, Decision(Choice.APPROVE, payload_hash=question.payload_hash))
    stage.worker("w2")
    run = stage.wait(run)
    assert (run.state, run.output) == ("succeeded", "Told bo."), stage.explain(run)
    assert [sent["to"] for sent in stage.mails()] == ["bo@example.com"]
    lead = Step.objects.get(run=run, path="lead")
    assert [entry["code"] for entry in lead.meta["refused"]] == ["unknown_worker"]
    assert Step.objects.get(run=run, path="lead~1.leader").attempt == 2
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_supervisor_under_another_works_on_the_built_in_models_and_survives_a_kill(stage: Stage) -> None:
    for slug in ("head", "chief", "digger"):
        agents.create(stage.composer, slug, AgentFields("demo/writer", role=slug, max_output=800))
    under = {"name": "research", "about": "Looks things up.", "agent": "chief", "workers": [{"agent": "digger"}]}
    lead = {
        "kind": "supervisor",
        "task": "Report on ${input.run}.",
        "agent": "head",
        "workers": [{"supervisor": under}],
    }
    end = {"kind": "output", "value": "${steps.lead.output}"}
    nodes = {"start": {"kind": "input"}, "lead": lead, "end": end}
    pipeline = stage.pipeline("nested", nodes, ["start>lead", "lead>end"], budget={"max_cost_usd": "1.00"})
    first = stage.worker("w1", BATON_DEMO_LATENCY_MS="1500")
    run = stage.start(pipeline, "bees")

    def is_deep() -> bool:
        return Call.objects.filter(run=run, path__contains="research>", state="started").exists()

    wait_for(is_deep, 40, lambda: stage.explain(run))
    first.kill()
    stage.worker("w2", BATON_DEMO_LATENCY_MS="0")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    paths = set(Step.objects.filter(run=run).values_list("path", flat=True))
    assert {f"lead>{n}.research>{k}.digger" for n in (1, 2, 3) for k in (1, 2, 3)} <= paths
    assert Call.objects.filter(run=run, path="lead~1.leader").count() == 1
    assert "research: “" in run.output
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_pipeline_given_work_by_a_leader_runs_on_its_own_and_survives_a_kill(stage: Stage) -> None:
    a_child(stage, 2)
    given = {"run": "r1", "item": "asked"}
    wanted = [{"worker": "child", "args": {"run": 7}}, {"worker": "child", "args": given}]
    answers: list[dict[str, Any]] = [
        {"json": {"reason": "Ask it.", "action": "delegate", "delegate": wanted}, "match": "You lead", "times": 1},
        {"json": {"reason": "It is known.", "action": "finish", "result": "Found."}, "match": "You lead"},
    ]
    stage.models.ask("/admin/script", answers)
    lead = {
        "kind": "supervisor",
        "task": "Find it out.",
        "agent": stage.agent("boss"),
        "workers": [{"pipeline": "child"}],
        "budget": {"max_cost_usd": "0.50"},
    }
    nodes = {"start": {"kind": "input"}, "lead": lead, "end": {"kind": "output", "value": "${steps.lead.output}"}}
    pipeline = stage.pipeline("finder", nodes, ["start>lead", "lead>end"])
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("asked-c1")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert (run.state, run.output) == ("succeeded", "Found."), stage.explain(run)
    child = Run.objects.get(parent=run)
    assert (child.state, child.parent_path, child.input) == ("succeeded", "lead>1.child", given)
    assert child.origin["labels"] == {"input.run": "model", "input.item": "model"}
    step = Step.objects.get(run=run, path="lead>1.child")
    assert (step.output, step.meta["run"]) == (child.output, str(child.pk))
    assert [entry["code"] for entry in Step.objects.get(run=run, path="lead").meta["refused"]] == ["invalid_arguments"]
    assert Call.objects.filter(run=run, path="lead~1.leader").count() == 1
    assert total_of(run) == child.cost_micros + run.cost_micros > run.cost_micros > 0
    assert all_is_well(run)

    again = stage.wait(forks.fork(stage.composer, run, forks.Fork("end")))
    assert (again.state, again.output, again.children) == ("succeeded", "Found.", 0), "what the child came to is kept"


def test_built_in_leaders_give_pipelines_work_too_and_finish_with_what_those_came_to(stage: Stage) -> None:
    for slug in ("boss", "digger"):
        agents.create(stage.composer, slug, AgentFields("demo/writer", role=slug, max_output=800))
    form = {
        "type": "object",
        "required": ["topic"],
        "additionalProperties": False,
        "properties": {"topic": {"type": "string"}, "depth": {"type": "integer", "default": 2}},
    }
    dig = {"kind": "agent", "agent": "digger", "prompt": "Research ${input.topic}."}
    end = {"kind": "output", "value": "${steps.dig.output}"}
    nodes = {"start": {"kind": "input"}, "dig": dig, "end": end}
    stage.pipeline("look-up", nodes, ["start>dig", "dig>end"], inputs=form, budget={"max_cost_usd": "0.20"})
    runs = []
    stage.worker("w1")
    for mode in ("step", "plan", "route_only"):
        lead = {
            "kind": "supervisor",
            "task": "Report on ${input.run}.",
            "agent": "boss",
            "mode": mode,
            "workers": [{"pipeline": "look-up"}, *([] if mode == "route_only" else [{"agent": "digger"}])],
        }
        nodes = {"start": {"kind": "input"}, "lead": lead, "end": {"kind": "output", "value": "${steps.lead.output}"}}
        edges = ["start>lead", "lead>end"]
        pipeline = stage.pipeline(f"lead-{mode.replace('_', '-')}", nodes, edges, budget={"max_cost_usd": "2.00"})
        runs.append(stage.wait(stage.start(pipeline, "honey bees")))
    for run in runs:
        assert run.state == "succeeded", stage.explain(run)
        lead_step = Step.objects.get(run=run, path="lead")
        assert lead_step.meta["refused"] == []
        children = list(Run.objects.filter(parent=run).order_by("number"))
        assert children
        assert all(one.input["topic"].startswith("honey bees") and one.input["depth"] == 2 for one in children)
        assert all_is_well(run)
    assert [len(Run.objects.filter(parent=run)) for run in runs] == [2, 1, 1]
    assert runs[2].output == Run.objects.get(parent=runs[2]).output
