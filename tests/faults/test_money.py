"""Caps hold although calls are made at once, and the books balance whatever happens to the calls."""

import pytest

from approvals.models import Approval
from runs.models import Call, Step
from tests.faults.stage import Stage, books_balance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def test_sixteen_parallel_calls_cannot_pass_the_cap(stage: Stage) -> None:
    """Each call may cost 100 output tokens and its prompt; the cap has room for three."""
    agent = stage.agent("writer", 200)
    names = [f"b{k}" for k in range(16)]
    nodes: dict[str, object] = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    policy = {"on_error": {"then": "skip"}}
    for name in names:
        nodes[name] = {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={name}]", **policy}
    nodes["all"] = {"kind": "combine", "on_failed_input": "tolerate"}
    edges = [edge for name in names for edge in (f"start>{name}", f"{name}>all")] + ["all>end"]
    pipeline = stage.pipeline("parallel", nodes, edges, budget={"max_cost_usd": "0.0014", "on_exceed": "stop"})
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert run.cost_micros + run.unconfirmed_micros <= 1400
    assert 1 <= len(stage.asked()) < 16
    assert run.state == "failed"
    assert run.reason == "budget"
    assert "cap" in run.error["message"]
    assert books_balance(run)


def test_a_run_over_its_cap_asks_a_manager_and_goes_on_with_more(stage: Stage) -> None:
    from approvals import services
    from approvals.policy import Decision
    from tests.people import acting

    nodes = {
        "start": {"kind": "input"},
        "a1": {"kind": "agent", "agent": stage.agent("writer"), "prompt": "[run=${input.run} step=a1]"},
        "end": {"kind": "output", "value": "${steps.a1.output}"},
    }
    budget = {"max_cost_usd": "0.000001", "on_exceed": "ask_human"}
    pipeline = stage.pipeline("poor", nodes, ["start>a1", "a1>end"], budget=budget)
    stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait(run, "waiting")
    question = Approval.objects.get(run=run)
    assert question.kind == "budget"
    carol = acting(stage.team.carol)
    decision = Decision("approve", payload_hash=question.payload_hash, payload={"add_usd": "0.01"})
    services.decide(carol, question.pk, decision)
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert stage.asked() == {"a1": 1}
    assert books_balance(run)


KINDS: dict[str, dict[str, object]] = {
    "agent": {"kind": "agent", "prompt": "Say it."},
    "route": {
        "kind": "decide",
        "mode": "ai",
        "value": "x",
        "routes": [{"port": "yes", "description": "Good"}],
        "otherwise": "no",
    },
    "check": {"kind": "check", "value": "x"},
    "merge": {"kind": "combine", "merge": "synthesize"},
    "judged": {"kind": "agent", "prompt": "Say it."},
}


def by_the_thrifty(stage: Stage, kind: str) -> dict[str, object]:
    """Return a step whose agent (of `judged`: whose judge beside it) may cost less than any call."""
    thrifty = stage.agent("thrifty", max_cost_usd="0.000010")
    rubric = {"rule": "ai_rubric", "rubric": "Is it kind?", "agent": thrifty}
    match kind:
        case "check":
            return {**KINDS[kind], "rules": [rubric]}
        case "judged":
            return {**KINDS[kind], "agent": stage.agent("writer"), "checks": [rubric]}
        case _:
            return {**KINDS[kind], "agent": thrifty}


@pytest.mark.parametrize("kind", KINDS)
def test_an_agents_own_cap_ends_its_step_by_what_follows_and_never_the_run(stage: Stage, kind: str) -> None:
    """The receipt says which cap it was and what it lacked; the steps beside it go on."""
    nodes = {
        "start": {"kind": "input"},
        "b": {"kind": "transform", "set": {"x": "1"}},
        "a": {**by_the_thrifty(stage, kind), "on_error": {"then": "skip"}},
        "all": {"kind": "combine", "on_failed_input": "tolerate"},
        "end": {"kind": "output", "value": "done"},
    }
    ports = ("yes", "no") if kind == "route" else ("done",)
    edges = ["start>b", "b>a", *(f"a:{port}>all" for port in ports), "b>all", "all>end"]
    pipeline = stage.pipeline("thrifty", nodes, edges, budget={"max_cost_usd": "1.00"})
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    step = Step.objects.get(run=run, path="a")
    assert (run.state, step.state, step.flags) == ("succeeded", "failed", ["contained"])
    cap = step.error["cap"]
    assert (step.error["class"], cap["cap"], cap["what"], cap["limit"]) == ("budget", "a", "cost", "0.00001")
    assert step.error["code"] == ("agent_cap" if kind == "judged" else "step_cap")
    assert stage.models.ask("/admin/stats")["calls"] == (1 if kind == "judged" else 0)
    assert books_balance(run)


@pytest.mark.parametrize("kind", ["429", "500", "malformed", "empty", "close"])
def test_the_books_balance_after_a_reply_of_every_bad_kind(stage: Stage, kind: str) -> None:
    stage.models.ask("/admin/script", [{"kind": kind, "times": 2, "retry_after": "0"}])
    nodes = {
        "start": {"kind": "input"},
        "a1": {
            "kind": "agent",
            "agent": stage.agent("writer"),
            "prompt": "[run=${input.run} step=a1]",
            "on_error": {"retry": {"max_attempts": 4, "first_delay": "PT0S"}},
        },
        "end": {"kind": "output", "value": "${steps.a1.output}"},
    }
    pipeline = stage.pipeline("bad", nodes, ["start>a1", "a1>end"], budget={"max_cost_usd": "1.00"})
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert run.state == "succeeded", run.error
    assert stage.asked()["a1"] == 3
    assert books_balance(run)


@pytest.mark.parametrize("is_killed", [False, True])
def test_calls_that_are_lost_use_up_a_cap_on_tokens_when_their_price_is_unknown(stage: Stage, is_killed: bool) -> None:
    """The provider may have written what nobody read, so neither retries nor stand-ins nor crashes pass the cap."""
    stage.models.ask("/admin/script", [{"kind": "hang"}])
    agent = stage.agent("writer", 300, fallback=["stub/stub-400ms"])
    nodes = {
        "start": {"kind": "input"},
        "a1": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a1]", "timeout": "PT1S"},
        "end": {"kind": "output", "value": "${steps.a1.output}"},
    }
    pipeline = stage.pipeline("lost", nodes, ["start>a1", "a1>end"], budget={"max_tokens": 500})
    worker = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("a1")
    if is_killed:
        worker.kill()
        stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert run.state == "failed", stage.explain(run)
    assert (run.error["code"], run.error["cap"]["what"]) == ("run_cap", "tokens")
    calls = Call.objects.filter(run=run)
    assert {call.state for call in calls} == {"lost"}
    assert 0 < sum(call.reserved_tokens for call in calls) == run.error["cap"]["used"] <= 500
    assert stage.asked()["a1"] == len(calls) < 4
    assert books_balance(run)
