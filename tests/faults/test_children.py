"""Child runs on real workers: any may own them, none is lost or doubled, and together they keep to the cap."""

from itertools import pairwise
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.roles import Role
from approvals import services as desk
from approvals.models import Approval
from approvals.policy import Decision
from pipelines import gallery
from pipelines.graph.money import dollars
from pipelines.models import Pipeline
from runs import dashboards, family, services
from runs.forks import Fork, fork
from runs.models import Call, Event, Run, Span, Step
from runs.services import Order, start_run
from runs.spending import ask, filters
from tests.conftest import wait_for
from tests.faults.stage import NOBODY_DIES, Stage, books_balance, finished_twice, has_no_gap
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

TOPIC = {"type": "object", "properties": {"run": {"type": "string"}, "item": {"type": "string", "default": "x"}}}


def a_child(stage: Stage, length: int = 2, ms: int = 1500, slug: str = "child", **document: Any) -> Pipeline:
    """Publish a chain of agents whose calls are counted as ITEM-c1, ITEM-c2 …"""
    names = [f"c{n}" for n in range(1, length + 1)]
    end = {"kind": "output", "value": f"${{steps.{names[-1]}.output}}"}
    nodes: dict[str, Any] = {"start": {"kind": "input"}, "end": end}
    for name in names:
        prompt = f"[run=${{input.run}} step=${{input.item}}-{name}] go"
        nodes[name] = {"kind": "agent", "agent": stage.agent(f"{slug}-{name}", ms), "prompt": prompt}
    path = ["start", *names, "end"]
    edges = [f"{a}>{b}" for a, b in pairwise(path)]
    return stage.pipeline(slug, nodes, edges, **{"inputs": TOPIC, **document})


def calling(item: str, slug: str = "child", **fields: Any) -> dict[str, Any]:
    return {"kind": "pipeline", "pipeline": slug, "inputs": {"run": "${input.run}", "item": item}, **fields}


def a_parent(stage: Stage, nodes: dict[str, Any], *edges: str, **document: Any) -> Pipeline:
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    return stage.pipeline("parent", {**ends, **nodes}, list(edges), **document)


def beside_each_other(stage: Stage, count: int, **document: Any) -> Pipeline:
    """Publish a parent of so many children, whose failures are contained."""
    names = [f"k{n}" for n in range(count)]
    nodes: dict[str, Any] = {name: calling(name, on_error={"then": "skip"}) for name in names}
    nodes["join"] = {"kind": "combine"}
    edges = [edge for name in names for edge in (f"start>{name}", f"{name}>join")]
    return a_parent(stage, nodes, *edges, "join>end", **document)


def everybody(run: Run) -> list[Run]:
    """Return a run and all below it."""
    found, above = [run], [run]
    while above:
        above = list(Run.objects.filter(parent__in=above).order_by("number"))
        found += above
    return found


def all_is_well(run: Run) -> bool:
    return all(books_balance(one) and has_no_gap(one) and finished_twice(one) == [] for one in everybody(run))


def total_of(run: Run) -> int:
    run = Run.objects.get(pk=run.pk)
    family.add_up([run])
    return run.total_micros


def test_a_child_runs_for_its_parent_which_is_parked_meanwhile(stage: Stage) -> None:
    a_child(stage, 1, 200)
    parent = a_parent(stage, {"call": calling("one")}, "start>call", "call>end")
    stage.worker("w1")
    run = stage.wait(start_run(stage.composer, parent, Order({"run": "r1"}, tags=("blue",), rehearsal=True)))
    assert run.state == "succeeded", stage.explain(run)
    child = Run.objects.get(parent=run)
    assert (child.parent_path, child.rehearsal, child.tags) == ("call", True, ["blue"])
    assert child.started_by_id == run.started_by_id
    assert child.pipeline.slug == "child"
    waited = Event.objects.get(run=run, type="run_waiting")
    assert waited.payload == {"reasons": ["children"]}
    assert all_is_well(run)
    assert total_of(run) == child.cost_micros > run.cost_micros == 0
    assert Step.objects.get(run=run, path="call").cost_micros == child.cost_micros


def test_kill_9_of_the_worker_that_owns_parent_and_child(stage: Stage) -> None:
    a_child(stage, 2)
    own = {"kind": "agent", "agent": stage.agent("own", 1500), "prompt": "[run=${input.run} step=own] go"}
    nodes = {"call": calling("one"), "own": own, "join": {"kind": "combine"}}
    parent = a_parent(stage, nodes, "start>call", "start>own", "call>join", "own>join", "join>end")
    first = stage.worker("w1")
    run = stage.start(parent)
    stage.wait_for_call("one-c1")
    stage.wait_for_call("own")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded", stage.explain(run)
    assert Run.objects.filter(parent=run).count() == 1, "the child that was there goes on"
    assert stage.asked()["one-c2"] == 1
    assert all_is_well(run)


def test_kill_9_of_the_worker_that_owns_the_child_alone(stage: Stage) -> None:
    a_child(stage, 2)
    parent = a_parent(stage, {"call": calling("one")}, "start>call", "call>end")
    first = stage.worker("w1")
    run = stage.start(parent)
    stage.wait_for_call("one-c2")
    assert stage.wait(run, "waiting").owner is None, "the parent is parked"
    first.kill()
    stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded", stage.explain(run)
    child = Run.objects.get(parent=run)
    assert (stage.asked()["one-c1"], child.unconfirmed_micros > 0) == (1, True)
    assert all_is_well(run)


def test_two_workers_share_the_children_of_one_run(stage: Stage) -> None:
    a_child(stage, 2)
    for name in ("w1", "w2"):
        stage.hire(name, BATON_WORKER_CONCURRENCY="2", **NOBODY_DIES)
    for worker in stage.workers:
        worker.wait_until_ready()
    run = stage.start(beside_each_other(stage, 8))
    seen: set[str] = set()

    def both() -> bool:
        owners = Run.objects.filter(parent=run).exclude(owner=None).values_list("owner", flat=True)
        seen.update(str(owner).partition("@")[0] for owner in owners)
        return seen == {"w1", "w2"}

    wait_for(both, 40, stage.logs)
    run = stage.wait(run, seconds=90)
    assert run.state == "succeeded", stage.explain(run)
    assert Run.objects.filter(parent=run, state="succeeded").count() == 8
    assert set(stage.asked().values()) == {1}
    assert all_is_well(run)


@pytest.mark.parametrize("own_cap", [None, "0.0009"])
def test_sixteen_parallel_children_keep_to_the_cap_of_their_parent(stage: Stage, own_cap: str | None) -> None:
    child = {"budget": {"max_cost_usd": own_cap}} if own_cap else {}
    a_child(stage, 2, 200, **child)
    stage.worker("w1")
    stage.worker("w2")
    run = stage.wait(stage.start(beside_each_other(stage, 16, budget={"max_cost_usd": "0.0025"})), seconds=120)
    assert run.state == "succeeded", stage.explain(run)
    ended = list(Run.objects.filter(parent=run))
    assert {"succeeded", "failed"} >= {one.state for one in ended}
    assert 0 < total_of(run) <= 2_500
    assert any(one.state == "succeeded" for one in ended)
    refused = Step.objects.filter(run=run, kind="pipeline", state="failed")
    assert refused.exists(), "the cap is far too small for all of them"
    assert {step.error["class"] for step in refused} == {"budget"}
    assert all_is_well(run)


def test_children_keep_to_the_machine_time_of_their_parent(stage: Stage) -> None:
    """Six chains of two calls, each of a second or more, under a cap of ten: there is no time for all second calls."""
    a_child(stage, 2, 1000)
    stage.worker("w1")
    stage.worker("w2")
    run = stage.wait(stage.start(beside_each_other(stage, 6, budget={"max_seconds": 10})), seconds=120)
    ended = list(Run.objects.filter(parent=run))
    assert {(one.budget["max_seconds"], one.origin["seconds"]) for one in ended} == {(1, 10)}, "a part, and all of it"
    answers = Event.objects.filter(run__in=ended, type="approval_decided").values_list("payload__decision", flat=True)
    assert set(answers) == {"approve", "reject"}, "the run above gave what it had"
    assert len(stage.asked()) < 12
    refused = [one for one in ended if one.state == "failed"]
    assert {(one.reason, one.error["cap"]["what"]) for one in refused} == {("budget", "seconds")}
    assert all(has_no_gap(one) and finished_twice(one) == [] for one in everybody(run))


def test_a_cancel_reaches_the_children_at_once(stage: Stage) -> None:
    a_child(stage, 6)
    stage.worker("w1")
    run = stage.start(beside_each_other(stage, 4))
    for n in range(4):
        stage.wait_for_call(f"k{n}-c1")
    services.cancel(stage.composer, run)
    run = stage.wait(run, seconds=60)
    assert run.state == "cancelled"
    wait_for(lambda: not Run.objects.filter(parent=run, finished_at=None).exists(), 60, stage.logs)
    assert set(Run.objects.filter(parent=run).values_list("state", flat=True)) == {"cancelled"}
    told = Event.objects.get(run=run, type="run_cancelling").at
    late = [call.started_at - told for call in Call.objects.filter(run__parent=run, started_at__gt=told)]
    assert all(delay.total_seconds() <= 6 for delay in late)
    assert all_is_well(run)


def test_a_child_whose_parent_failed_is_an_orphan_and_stops(stage: Stage) -> None:
    a_child(stage, 6)
    bad = {
        "kind": "agent",
        "agent": stage.agent("bad", 0),
        "prompt": "[run=${input.run} step=bad] ${steps.first.output}",
        "output_schema": {"type": "object", "required": ["never"], "properties": {"never": {"const": 7}}},
        "on_error": {"repair": {"max_attempts": 0}},
    }
    first = {"kind": "agent", "agent": stage.agent("first", 1500), "prompt": "[run=${input.run} step=first] go"}
    stage.models.ask("/admin/script", [{"kind": "not_json", "match": "step=bad"}])
    nodes = {"call": calling("one"), "first": first, "bad": bad}
    run = stage.start(a_parent(stage, nodes, "start>call", "start>first", "first>bad", "bad>end"))
    stage.worker("w1")
    run = stage.wait(run, seconds=60)
    assert run.state == "failed"
    wait_for(lambda: Run.objects.filter(parent=run, state="cancelled", owner=None).exists(), 60, stage.logs)
    assert "one-c6" not in stage.asked()
    assert all_is_well(run)


def test_a_pause_holds_children_back_until_the_parent_is_resumed(stage: Stage) -> None:
    a_child(stage, 2)
    stage.worker("w1")
    run = stage.start(a_parent(stage, {"call": calling("one")}, "start>call", "call>end"))
    stage.wait_for_call("one-c1")
    services.pause(stage.composer, run)
    wait_for(lambda: Run.objects.filter(parent=run, state="paused", owner=None).exists(), 30, stage.logs)
    assert "one-c2" not in stage.asked()
    services.resume(stage.composer, run)
    assert stage.wait(run).state == "succeeded"


def test_spread_items_survive_a_kill_and_come_to_the_same(stage: Stage) -> None:
    inner = {
        "nodes": {
            "dig": {
                "kind": "agent",
                "agent": stage.agent("dig", 1500),
                "prompt": "[run=${input.run} step=${word}] go",
            },
            "keep": {"kind": "transform", "set": {"plan": "steps.plan.output", "said": "steps.dig.output"}},
        },
        "edges": [{"from": "dig", "to": "keep"}],
    }
    nodes = {
        "plan": {"kind": "agent", "agent": stage.agent("plan", 0), "prompt": "[run=${input.run} step=plan] go"},
        "walk": {"kind": "each", "over": ["a", "b", "c"], "as": "word", "spread": True, "graph": inner},
    }
    parent = a_parent(stage, nodes, "start>plan", "plan>walk", "walk>end", budget={"max_cost_usd": "1.00"})
    first = stage.worker("w1")
    run = stage.start(parent)
    for word in "abc":
        stage.wait_for_call(word)
    first.kill()
    stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded", stage.explain(run)
    items = Run.objects.filter(parent=run).order_by("number")
    assert [item.parent_path for item in items] == ["walk[0].run", "walk[1].run", "walk[2].run"]
    walk = Step.objects.get(run=run, path="walk")
    assert walk.output == [item.output for item in items]
    assert {entry["plan"] for entry in walk.output} == {Step.objects.get(run=run, path="plan").output}
    assert {span.agent for item in items for span in item.span_set.filter(path="dig")} == {"dig@1"}
    assert all_is_well(run)


def test_an_agent_starts_a_pipeline_as_its_tool(stage: Stage) -> None:
    a_child(stage, 1, 0)
    lead = stage.agent("lead", 0, tools=("pipeline:child",))
    tool_call = {"name": "run_child", "args": {"run": "r1", "item": "asked"}}
    stage.models.ask("/admin/script", [{"tool_calls": [tool_call], "match": "step=lead", "times": 1}])
    nodes = {"write": {"kind": "agent", "agent": lead, "prompt": "[run=${input.run} step=lead] go"}}
    stage.worker("w1")
    run = stage.wait(stage.start(a_parent(stage, nodes, "start>write", "write>end")))
    assert run.state == "succeeded", stage.explain(run)
    child = Run.objects.get(parent=run)
    assert (child.parent_path, child.state) == ("write", "succeeded")
    assert child.origin["labels"] == {"input.run": "model", "input.item": "model"}
    assert stage.asked() == {"lead": 2, "asked-c1": 1}, "the agent asks once more, with the answer"
    told = stage.models.ask("/admin/calls")[-1]["body"]["messages"][-1]
    assert child.output in told["content"]
    assert all_is_well(run)


def test_an_approval_in_a_child_is_asked_at_the_desk_and_names_the_parent(stage: Stage) -> None:
    args = {"to": "ana@northwind.example", "subject": "Hi", "body": "x"}
    send = {"kind": "tool", "tool": "email.send@1", "args": args}
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "${steps.send.output}"}}
    stage.pipeline("mailer", {**ends, "send": send}, ["start>send", "send>end"])
    parent = a_parent(stage, {"call": {"kind": "pipeline", "pipeline": "mailer"}}, "start>call", "call>end")
    stage.worker("w1")
    run = stage.start(parent)
    wait_for(lambda: Approval.objects.filter(run__parent=run).exists(), 30, stage.logs)
    question = Approval.objects.get(run__parent=run)
    assert question.run.parent_id == run.pk
    assert run.started_by_id in question.barred
    desk.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    assert stage.wait(run).state == "succeeded"
    assert len(stage.mails()) == 1


def test_a_fork_reuses_what_a_child_came_to(stage: Stage) -> None:
    a_child(stage, 1, 0)
    after = {"kind": "agent", "agent": stage.agent("after", 0), "prompt": "[run=${input.run} step=after] go"}
    parent = a_parent(stage, {"call": calling("one"), "after": after}, "start>call", "call>after", "after>end")
    stage.worker("w1")
    first = stage.wait(stage.start(parent))
    forked = stage.wait(fork(stage.composer, first, Fork("after")))
    assert (forked.state, forked.children) == ("succeeded", 0)
    assert stage.asked() == {"one-c1": 1, "after": 2}
    assert forked.saved_micros == Run.objects.get(parent=first).cost_micros > 0
    again = stage.wait(fork(stage.composer, first, Fork("call")))
    assert (again.state, again.children) == ("succeeded", 1)
    assert stage.asked()["one-c1"] == 2


def test_the_portfolio_review_runs_as_it_is_through_the_api(stage: Stage) -> None:
    operator = Actor(stage.team.alice, stage.team.workspace, frozenset(Role))
    gallery.instantiate(operator, "portfolio-review")
    stage.worker("w1", BATON_DEMO_LATENCY_MS="0")
    sample = dict(gallery.template("portfolio-review").sample)
    program = Client(headers=bearer(stage.team.alice, stage.team.workspace))
    body = {"input": sample}
    started = program.post("/api/v1/pipelines/portfolio-review/runs", body, content_type="application/json")
    assert started.status_code == 202
    run = stage.wait(Run.objects.get(pk=started.json()["id"]), seconds=60)
    seen = program.get(f"/api/v1/runs/{run.pk}").json()
    assert (seen["children"], seen["cost_usd"]) == (3, dollars(total_of(run)))
    listed = program.get(f"/api/v1/runs?parent={run.pk}").json()["items"]
    assert {item["parent"]["path"] for item in listed} == {f"review[{n}].analyse" for n in range(3)}
    assert run.state == "succeeded", stage.explain(run)
    children = Run.objects.filter(parent=run).order_by("parent_path")
    assert [child.input["company"] for child in children] == sample["companies"]
    assert {child.pipeline.slug for child in children} == {"company-analysis"}
    spans = Span.objects.filter(run__in=everybody(run), cost_micros__isnull=False)
    assert sum(spans.values_list("cost_micros", flat=True)) == total_of(run) > 0
    today = (run.finished_at or run.created_at).date()
    month = filters.read({}, today)
    spent, begun = ask(month.asking(stage.team.workspace)).total, dashboards.results(stage.team.workspace, month)
    assert (spent.cost, begun.all) == (total_of(run), 1), "a child's cost counts once, its run is the parent's"
    judgements = [entry["judgement"] for entry in run.output["companies"]]
    assert judgements == [child.output["judgement"] for child in children]
    assert all_is_well(run)


def test_a_pipeline_stands_in_for_an_action_that_failed(stage: Stage) -> None:
    """engine.md §3: a fallback may be a pipeline, whatever the step is."""
    a_spare = {"inputs": {"type": "object", "properties": {"url": {"type": "string"}, "method": {"type": "string"}}}}
    stage.pipeline(
        "spare",
        {"start": {"kind": "input"}, "end": {"kind": "output", "value": {"instead": "${input.url}"}}},
        ["start>end"],
        **a_spare,
    )
    get = {"tool": "http.request", "args": {"method": "GET", "url": "http://127.0.0.1:9/nobody"}}
    policy = {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}]}
    pipeline = a_parent(
        stage,
        {
            "act": {"kind": "tool", **get, "on_error": policy},
            "end": {"kind": "output", "value": "${steps.act.output}"},
        },
        "start>act",
        "act>end",
    )
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert (run.state, run.output) == ("succeeded", {"instead": "http://127.0.0.1:9/nobody"})
    assert Step.objects.get(run=run, path="act").flags == ["degraded"]
    assert Run.objects.get(parent=run).parent_path == "act"


def test_no_pipeline_stands_in_for_one_whose_action_may_have_been_done(stage: Stage) -> None:
    """The endpoint counted the order and hung up: nobody knows what the first pipeline did, so no other does it too."""
    order = {"method": "POST", "url": f"{stage.sink_url}/lose", "idempotency_header": "Idempotency-Key"}
    once = {"retry": {"max_attempts": 1}}
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "ordered"}}
    for slug in ("order", "spare"):
        act = {"kind": "tool", "tool": "http.request@1", "args": order, "on_error": once}
        stage.pipeline(slug, {**ends, "act": act}, ["start>act", "act>end"], inputs=TOPIC)
    pipeline = a_parent(
        stage, {"call": calling("x", "order", on_error={"fallback": [{"pipeline": "spare"}]})}, "start>call", "call>end"
    )
    stage.worker("w1")
    run = stage.start(pipeline)
    wait_for(lambda: Approval.objects.filter(state="open").exists(), 20, stage.logs)
    question = Approval.objects.get(state="open")
    desk.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    run = stage.wait(run)
    assert (run.state, Step.objects.get(run=run, path="call").error["code"]) == ("failed", "child_failed")
    assert [child.pipeline.slug for child in Run.objects.filter(parent=run)] == ["order"]
    assert len(stage.effects()) == 1
    assert Approval.objects.count() == 1
