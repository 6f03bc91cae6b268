"""No call, however parallel, passes a cap (engine.md §3)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.graph.model import Budget
from runs.engine import allotting, budget
from runs.engine.budget import Refusal, Spend, Usage
from runs.engine.facts import Answered, ErrorClass, Recovered, StepError, StepFailed
from runs.engine.state import Execution
from tests.engine.playing import Fails, Player, a_run


def a_capped_run(cap: Budget | None = None, **nodes: Any) -> Player:
    player = a_run("start >> a, b >> join >> result", budget=cap or Budget(max_cost_micros=1_000), **nodes)
    player.begin()
    return player


def refuse(player: Player, path: str, amount: int | None = 900, tokens: int = 0) -> None:
    """Let a step's next call be refused, as the worker would."""
    refusal = budget.admit(player.run, path, amount, tokens)
    assert refusal, "the call was admitted"
    attempt = player.open.pop(path).attempt
    player.tell(StepFailed(path, attempt, StepError(ErrorClass.BUDGET, refusal.code, refusal.message)))


def pay(player: Player, path: str, reserved: int, cost: int | None, tokens: int = 0) -> None:
    assert budget.admit(player.run, path, reserved, tokens) is None
    budget.reserve(player.run, path, reserved, tokens)
    budget.settle(player.run, path, reserved, Usage(cost, tokens, 0), tokens)


def test_sixteen_parallel_calls_cannot_pass_the_cap_together() -> None:
    player = a_capped_run()
    admitted = 0
    for _ in range(16):
        if budget.admit(player.run, "a", 300) is None:
            budget.reserve(player.run, "a", 300)
            admitted += 1
    assert admitted == 3
    assert player.run.spend.reserved == 900


def test_a_settled_call_gives_back_what_it_did_not_cost() -> None:
    player = a_capped_run()
    pay(player, "a", 900, 100)
    assert (player.run.spend.cost, player.run.spend.reserved, player.run.spend.calls) == (100, 0, 1)
    assert budget.admit(player.run, "b", 900) is None
    assert "0.0009" in budget.admit(player.run, "b", 901).message  # type: ignore[union-attr]


def test_a_lost_call_keeps_counting_and_a_failed_one_does_not() -> None:
    player = a_capped_run()
    budget.reserve(player.run, "a", 600)
    budget.unconfirm(player.run, "a", 600)
    assert player.run.spend.unconfirmed == 600
    assert budget.admit(player.run, "a", 500)
    budget.reserve(player.run, "b", 400)
    budget.release(player.run, "b", 400)
    assert player.run.spend == Spend(unconfirmed=600, calls=1)


@pytest.mark.parametrize("step", ["", "a"])
def test_a_lost_call_keeps_its_tokens_through_a_crash(step: str) -> None:
    """Its price is unknown, so the cap on tokens is all that holds: the third call of 5,000 is beyond 12,000."""
    cap = Budget(max_tokens=12_000)
    player = a_capped_run(Budget() if step else cap, **({step: {"budget": {"max_tokens": 12_000}}} if step else {}))
    for _ in range(2):
        assert budget.admit(player.run, "a", None, 5_000) is None
        budget.reserve(player.run, "a", None, 5_000)
        budget.unconfirm(player.run, "a", None, 5_000)
    player.step_spends["a"] = Spend(calls=2, unconfirmed_tokens=10_000)
    for _ in range(2):
        refusal = budget.admit(player.run, "a", None, 5_000)
        assert refusal
        assert (refusal.what, refusal.used, refusal.short) == ("tokens", 10_000, 3_000)
        player.crash()
    assert allotting.used_by(player.run.spend)["tokens"] == 10_000, "the run above counts them too"


def test_calls_beside_each_other_each_give_back_their_own_tokens() -> None:
    player = a_capped_run(Budget(max_tokens=100))
    budget.reserve(player.run, "a", 0, 10)
    budget.reserve(player.run, "a", 0, 70)
    budget.settle(player.run, "a", 0, Usage(0, 5, 0), 70)
    budget.unconfirm(player.run, "a", 0, 10)
    assert (player.run.spend.tokens, player.run.spend.reserved_tokens) == (15, 0)


def test_an_unknown_price_is_refused_under_a_cost_cap_only() -> None:
    assert budget.admit(a_capped_run().run, "a", None).code == "price_unknown"  # type: ignore[union-attr]
    free = a_capped_run(Budget(max_tokens=10))
    pay(free, "a", 0, None, 5)
    assert free.run.spend.unpriced == 1


@pytest.mark.parametrize(
    ("cap", "what"),
    [(Budget(max_tokens=10), "tokens"), (Budget(max_llm_calls=1), "calls"), (Budget(max_seconds=1), "seconds")],
)
def test_tokens_calls_and_seconds_are_capped_too(cap: Budget, what: str) -> None:
    player = a_capped_run(cap)
    pay(player, "a", 0, 0, 6)
    budget.spend_time(player.run, "a", 1_000)
    refusal = budget.admit(player.run, "b", 0, 6)
    assert refusal
    assert (refusal.code, refusal.what) == ("run_cap", what)


def test_a_refused_call_stops_the_run_with_a_receipt() -> None:
    player = a_capped_run()
    pay(player, "a", 500, 500)
    refuse(player, "a")
    assert (player.run.state, player.run.reason) == ("failed", "budget")
    assert player.run.error["code"] == "run_cap"
    assert "$0.0005 is left of the run's cap of $0.001" in player.run.error["message"]
    assert player.state("b") == "cancelled"


def test_a_step_cap_fails_the_step_by_its_own_policy() -> None:
    capped = {"budget": {"max_cost_usd": "0.0005"}}
    player = a_capped_run(a=capped)
    refuse(player, "a", 600)
    assert player.row("a")["error"]["code"] == "step_cap"
    assert player.row("a")["flags"] == ["contained"]
    assert player.play().run.state == "succeeded"


def test_an_agents_own_cap_holds_in_every_step() -> None:
    player = a_capped_run(a={"agent": "frugal@1"})
    pay(player, "a", 500, 400)
    assert budget.admit(player.run, "a", 200).code == "step_cap"  # type: ignore[union-attr]
    assert budget.admit(player.run, "b", 200) is None


def test_a_container_cap_counts_all_its_items_and_ends_it() -> None:
    graph = {"nodes": {"dig": {"kind": "agent", "agent": "writer@1", "prompt": "Dig."}}, "edges": []}
    each = {"kind": "each", "over": [1, 2, 3], "graph": graph, "budget": {"max_cost_usd": "0.001"}}
    player = a_run("start >> each, b >> join >> result", each=each)
    player.begin()
    pay(player, "each[0].dig", 600, 600)
    refuse(player, "each[1].dig", 600)
    assert player.state("each") == "failed"
    assert player.row("each")["error"]["code"] == "step_cap"
    assert player.state("each[2].dig") == "cancelled"
    assert player.play().run.state == "succeeded"


def test_alerts_come_once_each_with_the_next_decision() -> None:
    player = a_capped_run(Budget(max_cost_micros=1_000, alert_at=(0.5, 0.8)))
    pay(player, "a", 400, 400)
    assert not player.tell().events
    pay(player, "a", 500, 500)
    assert [event.payload["at"] for event in player.tell().events] == [0.5, 0.8]
    pay(player, "b", 50, 50)
    assert not player.tell().events


def test_a_call_above_its_reservation_is_recorded_and_announced() -> None:
    player = a_capped_run(Budget(max_cost_micros=1_000, alert_at=()))
    budget.reserve(player.run, "a", 100)
    budget.settle(player.run, "a", 100, Usage(1_500))
    (alert,) = player.tell().events
    assert (alert.type, alert.payload["above_reservation"], alert.payload["cost_usd"]) == (
        "budget_alert",
        True,
        "0.0015",
    )
    assert player.run.spend.cost == 1_500


ASKS = Budget(max_cost_micros=1_000, on_exceed="ask_human")


def test_a_manager_is_asked_for_more_and_the_same_attempt_goes_on() -> None:
    player = a_capped_run(ASKS)
    pay(player, "a", 500, 500)
    refuse(player, "a")
    (question,) = player.asked()
    assert (question["kind"], question["roles"], question["payload"]) == ("budget", ["manager"], {"add_usd": "0.0005"})
    assert player.row("a")["wait_reason"] == "budget"
    player.answer("approve", {"add_usd": "0.002"})
    assert (player.started[-1].path, player.started[-1].attempt) == ("a", 1)
    assert budget.admit(player.run, "a", 2_500) is None
    assert budget.admit(player.run, "a", 2_501)


def test_an_approval_without_an_amount_adds_what_was_proposed() -> None:
    player = a_capped_run(ASKS)
    refuse(player, "a", 3_000)
    player.answer("approve")
    assert budget.admit(player.run, "a", 3_000) is None


def test_added_money_survives_a_restart() -> None:
    player = a_capped_run(ASKS)
    refuse(player, "a", 3_000)
    player.answer("approve", {"add_usd": "0.002"})
    player.crash()
    assert budget.admit(player.run, "a", 3_000) is None
    assert budget.admit(player.run, "a", 3_001)


def test_one_answer_serves_all_who_wait_at_the_same_cap() -> None:
    player = a_capped_run(ASKS)
    refuse(player, "a", 1_500)
    refuse(player, "b", 1_500)
    assert len(player.asked()) == 2
    player.answer("approve", {"add_usd": "1"}, path="b")
    assert not player.asked()
    assert sorted(player.open) == ["a", "b"]


@pytest.mark.parametrize("decision", ["reject", "expire"])
def test_no_more_money_ends_the_run(decision: str) -> None:
    player = a_capped_run(ASKS)
    refuse(player, "a", 1_500)
    player.answer(decision)
    assert (player.run.state, player.run.reason, player.run.error["code"]) == ("failed", "budget", "run_cap")
    assert player.run.error["cap"] == {
        "cap": "run",
        "what": "cost",
        "limit": "0.001",
        "used": "0",
        "asked": "0.0015",
        "path": "a",
    }


def test_a_cheaper_model_is_tried_before_the_end() -> None:
    cheaper = Budget(max_cost_micros=1_000, on_exceed="cheaper_model")
    player = a_capped_run(cheaper, a={"on_error": {"fallback": [{"model": "demo/echo"}]}})
    refuse(player, "a", 1_500)
    assert player.started[-1].model == "demo/echo"
    refuse(player, "a", 1_200)
    assert player.run.reason == "budget"


def test_no_attempt_starts_when_the_machine_time_is_used_up() -> None:
    player = a_run("start >> a >> b >> result", budget=Budget(max_seconds=5))
    player.begin()
    assert player.started[0].timeout == 5.0
    from runs.engine.facts import StepSucceeded

    player.open.clear()
    player.tell(StepSucceeded("a", 1, "x", machine_ms=5_000))
    assert player.paths_started() == ["a"]
    assert (player.run.reason, player.run.error["code"]) == ("budget", "run_cap")
    assert "5 seconds" in player.run.error["message"]


def test_machine_time_is_the_same_after_a_restart_and_after_an_ordered_retry() -> None:
    """The pauses between retries are no machine time, and what a person has tried again was worked all the same."""
    caps = {"budget": {"max_seconds": 60}, "on_error": {"retry": {"first_delay": "PT50S"}, "then": "ask_human"}}
    player = a_run("start >> a >> result", {}, a=caps)
    player.begin()
    player.open.pop("a")
    player.tell(StepFailed("a", 1, Fails("transient").error, jitter=0.9, machine_ms=5_000))
    player.crash(crashed=False)
    assert player.run.spend_of("a").machine_ms == 5_000
    player.wait(50)
    player.open.pop("a")
    player.tell(StepFailed("a", 2, Fails("refused").error, machine_ms=7_000))
    player.answer("retry")
    assert player.run.spend_of("a").machine_ms == 12_000
    player.crash(crashed=False)
    assert player.run.spend_of("a").machine_ms == 12_000


OPEN = Fails("transient", "circuit_open")


def test_a_wait_for_a_circuit_is_machine_time_also_after_a_restart() -> None:
    """engine.md §1: timeouts and max_seconds count circuit waits."""
    player = a_run("start >> a >> result", {"a": [OPEN, OPEN, "fine"]}, a={"budget": {"max_seconds": 90}})
    player.begin()
    player.finish("a")
    assert player.run.spend_of("a").machine_ms == 0, "it counts when it is over"
    player.crash(crashed=False)
    player.wait(30)
    assert (player.run.spend_of("a").machine_ms, player.run.spend.machine_ms) == (30_000, 30_000)
    player.finish("a")
    player.wait(30)
    player.crash(crashed=False)
    assert player.run.spend_of("a").machine_ms == 60_000
    assert player.started[-1].timeout == 30.0
    assert player.play().run.state == "succeeded"


def test_nobody_waits_for_a_circuit_beyond_the_machine_time() -> None:
    player = a_run("start >> a >> result", {"a": [OPEN, "fine"]}, budget=Budget(max_seconds=20))
    player.begin()
    player.finish("a")
    assert (player.run.state, player.run.reason, player.run.error["code"]) == ("failed", "budget", "run_cap")
    assert "another 30 seconds" in player.run.error["message"]
    assert player.run.error["cap"]["what"] == "seconds"


def test_a_person_may_allow_the_time_that_the_wait_for_a_circuit_takes() -> None:
    asking = Budget(max_seconds=20, on_exceed="ask_human")
    player = a_run("start >> a >> result", {"a": [OPEN, OPEN, "fine"]}, budget=asking)
    player.begin()
    player.finish("a")
    player.answer("approve")
    player.finish("a")
    assert player.row("a")["wait_reason"] == "circuit"
    player.crash(crashed=False)
    player.wait(30)
    assert player.play().run.state == "succeeded"
    assert player.run.spend.machine_ms == 30_000


def test_a_step_that_is_cancelled_while_it_waits_for_a_circuit_has_waited_so_long_only() -> None:
    race = {"kind": "combine", "wait_for": "first"}
    player = a_run("start >> a, b >> join >> result", {"a": OPEN}, join=race, budget=Budget(max_seconds=40))
    player.begin()
    player.finish("a")
    player.now += timedelta(seconds=12)
    player.finish("b")
    assert player.state("a") == "cancelled"
    assert player.run.spend.machine_ms == 12_000


def test_what_steps_with_caps_spent_is_counted_again_after_a_restart() -> None:
    player = a_capped_run(a={"budget": {"max_cost_usd": "0.0005"}})
    spends = {"a": Spend(cost=400, calls=1), "b": Spend(cost=100, calls=1)}
    player.run = Execution.restore(
        player.document,
        player.lock,
        player.input,
        player.budget,
        player.records(),
        player.run.state,
        Spend(cost=500, calls=2),
        spends,
    )
    player.tell(Recovered(crashed=True))
    assert budget.admit(player.run, "a", 100) is None
    assert budget.admit(player.run, "a", 101).code == "step_cap"  # type: ignore[union-attr]
    assert budget.admit(player.run, "b", 500) is None


def test_a_budget_error_is_never_retried() -> None:
    player = a_run("start >> a >> result", {"a": Fails("budget", "workspace_cap")}).play()
    assert player.paths_started() == ["a"]
    assert player.run.reason == "budget"


def test_the_end_of_a_cap_is_told_once_when_a_call_no_longer_fits() -> None:
    player = a_capped_run(Budget(max_cost_micros=1_000, on_exceed="ask_human"))
    pay(player, "a", 900, 850)
    refuse(player, "a")
    player.crash()
    refuse(player, "b")
    told = [event.payload["at"] for event in player.events if event.type == "budget_alert"]
    assert told == [0.5, 0.8, 1.0]
    player.answer("approve", {"add_usd": "0.001"}, path="a")
    pay(player, "a", 900, 850)
    refuse(player, "b")
    told = [event.payload for event in player.events if event.type == "budget_alert"][3:]
    assert [alert["at"] for alert in told] == [0.5, 0.8, 1.0]
    assert {alert["cap_usd"] for alert in told} == {"0.002"}, "a new cap, told anew"


A_DAY = Refusal("workspace_cap", "Nothing is left of the day.", "budget:7:2026-11-20", "cost", 40, 1_000, 990, 50)


def refuse_the_day(player: Player, path: str, on_exceed: str) -> None:
    """Let the workspace's day refuse a step's next call, as the worker would."""
    player.run.refusals[path] = replace(A_DAY, on_exceed=on_exceed)
    attempt = player.open.pop(path).attempt
    player.tell(StepFailed(path, attempt, StepError(ErrorClass.BUDGET, A_DAY.code, A_DAY.message)))


def test_a_day_that_is_spent_asks_a_manager_and_what_is_added_is_added_where_the_day_is_kept() -> None:
    player = a_capped_run()
    for path in ("a", "b"):
        refuse_the_day(player, path, "ask_human")
    question, _ = player.asked()
    assert question["title"] == "The workspace's budget has reached its cap: allow $0.0005 more?"
    assert question["show"] == {"spent_usd": "0.00099", "cap_usd": "0.001", "cap": "workspace_cap"}
    player.crash()
    player.answer("approve", {"add_usd": "0.002"}, reason="The fair")
    raised = [event.payload for event in player.events if event.type == "budget_raised"]
    assert raised == [
        {"cap": "budget:7:2026-11-20", "amount_micros": 2_000, "by": "bob@example.com", "reason": "The fair"}
    ]
    assert sorted(player.open) == ["a", "b"], "one answer serves all who wait at it"
    assert player.run.caps[budget.RUN].max_cost_micros == 1_000, "the run's own cap is another"
    player.crash()
    assert player.play().run.state == "succeeded"


def test_what_another_run_asked_about_the_same_day_is_tried_again_without_more_money() -> None:
    player = a_capped_run(ASKS)
    refuse_the_day(player, "a", "ask_human")
    refuse(player, "b", 1_500)
    day, own = (event.payload for event in player.events if event.type == "approval_requested")
    assert (day["shared"], "shared" in own) == ("budget:7:2026-11-20", False)
    player.crash()
    for _ in range(2):  # the second copy finds no question
        player.tell(Answered(day["request"], "approval-of-another", "again", by="policy"))
    assert "budget_raised" not in player.types()
    assert (player.started[-1].path, player.started[-1].attempt, player.asked()) == ("a", 1, [own])
    refuse_the_day(player, "a", "ask_human")
    assert [question["request"] for question in player.asked()] == [own["request"], "a!2"], "it may ask anew"


@pytest.mark.parametrize("on_exceed", ["stop", "cheaper_model"])
def test_a_day_that_is_spent_ends_the_run_with_a_receipt(on_exceed: str) -> None:
    player = a_capped_run()
    refuse_the_day(player, "a", on_exceed)
    assert (player.run.state, player.run.reason) == ("failed", "budget")
    assert player.run.error["cap"] == {
        "cap": "budget:7:2026-11-20",
        "what": "cost",
        "limit": "0.001",
        "used": "0.00099",
        "asked": "0.00005",
        "path": "a",
    }


def test_cheaper_is_what_costs_less_and_nothing_else() -> None:
    """Of its fallbacks a step takes the next that costs less than what it uses now."""
    cap = Budget(max_cost_micros=1_000, on_exceed="cheaper_model")
    dear_first = {"fallback": [{"model": "demo/writer"}, {"agent": "frugal@1"}, {"model": "demo/echo"}]}
    player = a_capped_run(cap, a={"on_error": dear_first})
    refuse(player, "a", 1_500)
    assert player.started[-1].model == "demo/echo"
    assert player.row("a")["memo"]["fallback"] == 3
    player.finish("a")
    assert player.row("a")["flags"] == ["degraded"]
    nothing = a_capped_run(cap, a={"on_error": {"fallback": [{"model": "demo/writer"}]}})
    refuse(nothing, "a", 1_500)
    assert nothing.run.reason == "budget"


BY_AGENTS: dict[str, dict[str, Any]] = {
    "agent": {"agent": "frugal@1"},
    "route": {
        "kind": "decide",
        "mode": "ai",
        "agent": "frugal@1",
        "value": "x",
        "routes": [{"port": "yes", "description": "Good"}],
        "otherwise": "no",
    },
    "check": {
        "kind": "check",
        "value": "x",
        "rules": [{"rule": "ai_rubric", "rubric": "Is it good?", "agent": "frugal@1"}],
    },
    "merge": {"kind": "combine", "merge": "best_of", "agent": "frugal@1", "min_ok": 1},
}


def a_run_by_an_agent(kind: str, cap: Budget | None = None, **more: Any) -> Player:
    """Return a run whose step `a` is about to be carried out by an agent that may cost 500 micro-dollars."""
    node = {**BY_AGENTS[kind], **more}
    drawing = "start >> b, c >> a; a, d >> join >> result; start >> d"
    if kind == "route":
        drawing = "start >> b, c >> pick >> a; a:yes >> join; a:no >> join; pick >> d >> join >> result"
    player = a_run(drawing, budget=cap or Budget(max_cost_micros=10_000), a=node, pick={"kind": "combine"})
    player.begin()
    while "a" not in player.open:
        player.finish(next(path for path in sorted(player.open) if path != "d"))
    return player


@pytest.mark.parametrize("kind", BY_AGENTS)
def test_an_agents_own_cap_fails_its_step_whatever_kind_it_is(kind: str) -> None:
    """The cap holds the step's calls together, and ends the step by its `then`, never the run."""
    player = a_run_by_an_agent(kind)
    pay(player, "a", 400, 400)
    refuse(player, "a", 200)
    error = player.row("a")["error"]
    assert (error["code"], error["cap"]) == (
        "step_cap",
        {"cap": "a", "what": "cost", "limit": "0.0005", "used": "0.0004", "asked": "0.0002", "path": "a"},
    )
    assert player.row("a")["flags"] == ["contained"]
    assert player.play().run.state == "succeeded"


@pytest.mark.parametrize("kind", BY_AGENTS)
def test_what_an_agent_may_cost_is_asked_for_and_added_as_any_cap(kind: str) -> None:
    player = a_run_by_an_agent(kind, budget={"max_cost_usd": "1", "on_exceed": "ask_human"})
    refuse(player, "a", 800)
    (question,) = player.asked()
    assert (question["title"], question["payload"]) == (
        "The step a has reached its cap: allow $0.0003 more?",
        {"add_usd": "0.0003"},
    )
    player.answer("approve")
    player.crash()
    assert budget.admit(player.run, "a", 800) is None
    assert budget.admit(player.run, "a", 801).code == "step_cap"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", BY_AGENTS)
def test_at_an_agents_cap_a_cheaper_model_is_tried_first(kind: str) -> None:
    cheaper = {"budget": {"on_exceed": "cheaper_model"}, "on_error": {"fallback": [{"model": "demo/echo"}]}}
    player = a_run_by_an_agent(kind, **cheaper)
    refuse(player, "a", 800)
    assert player.started[-1].model == "demo/echo"
    refuse(player, "a", 800)
    assert player.row("a")["flags"] == ["degraded", "contained"]


@pytest.mark.parametrize("kind", BY_AGENTS)
def test_without_a_price_an_agents_cap_refuses_the_step_alone(kind: str) -> None:
    player = a_run_by_an_agent(kind, Budget(max_tokens=100_000))
    refuse(player, "a", None)
    assert player.row("a")["error"]["code"] == "price_unknown"
    assert player.play().run.state == "succeeded"


def test_whoever_stands_in_brings_its_own_cap_and_finds_what_was_spent() -> None:
    """A step that falls back to a thriftier agent may cost no more than that one may, before and after a restart."""
    player = a_capped_run(a={"on_error": {"fallback": [{"agent": "frugal@1"}, {"agent": "writer@1"}]}})
    pay(player, "a", 300, 300)
    player.step_spends = {"a": Spend(cost=300, calls=1)}
    player.script["a"] = Fails("refused")
    player.finish("a")
    for _ in range(2):
        assert budget.admit(player.run, "a", 201).code == "step_cap"  # type: ignore[union-attr]
        assert budget.admit(player.run, "a", 200) is None
        player.crash()
    player.finish("a")
    assert player.started[-1].agent.id == "writer@1"  # type: ignore[union-attr]
    assert budget.admit(player.run, "a", 600) is None


WARNED = (0.5, 0.8, 1.0)


def alerts_of(player: Player) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in player.events if event.type == "budget_alert"]


@pytest.mark.parametrize(
    ("cap", "what"),
    [(Budget(max_tokens=10), "tokens"), (Budget(max_llm_calls=10), "calls"), (Budget(max_seconds=10), "seconds")],
)
@pytest.mark.parametrize("step", ["", "a"])
def test_each_share_of_any_cap_is_told_once(cap: Budget, what: str, step: str) -> None:
    """Ten times a call of one token that takes a second: at five, eight and ten of each, in the run or in a step."""
    own = {"max_tokens": cap.max_tokens, "max_llm_calls": cap.max_llm_calls, "max_seconds": cap.max_seconds}
    capped = {"budget": {name: most for name, most in own.items() if most}}
    player = a_capped_run(Budget() if step else replace(cap, alert_at=WARNED), **({step: capped} if step else {}))
    for _ in range(10):
        budget.reserve(player.run, "a", 0, 1)
        budget.settle(player.run, "a", 0, Usage(0, 1, 0), 1)
        budget.spend_time(player.run, "a", 1_000)
        player.tell()
    told = [{"at": at, "what": what, "used": used, "cap": 10} for at, used in ((0.5, 5), (0.8, 8), (1.0, 10))]
    assert alerts_of(player) == told
    assert {event.path for event in player.events if event.type == "budget_alert"} == {step or None}


def test_open_calls_are_told_of_when_they_have_ended_each_share_once() -> None:
    player = a_capped_run(Budget(max_llm_calls=4))
    for _ in range(4):
        budget.reserve(player.run, "a", 0)
    assert not alerts_of(player)
    budget.release(player.run, "a", 0)
    for _ in range(2):
        budget.settle(player.run, "a", 0, Usage(0))
    player.tell()
    assert [alert["at"] for alert in alerts_of(player)] == [0.5]
    budget.unconfirm(player.run, "a", 0)
    budget.reserve(player.run, "a", 0)
    budget.settle(player.run, "a", 0, Usage(0))
    player.tell()
    assert [alert["at"] for alert in alerts_of(player)] == [0.5, 0.8, 1.0], "three of four is less than 80 percent"


def test_the_end_of_a_cap_on_tokens_is_told_once_when_a_call_no_longer_fits() -> None:
    player = a_capped_run(Budget(max_tokens=100, on_exceed="ask_human"))
    pay(player, "a", 0, 0, 70)
    refuse(player, "a", 0, 40)
    player.crash()
    refuse(player, "b", 0, 40)
    told = [(alert["at"], alert["used"], alert.get("refused", False)) for alert in alerts_of(player)]
    assert told == [(0.5, 70, False), (1.0, 70, True)]


def test_the_time_of_the_last_step_is_told_of_before_the_run_ends() -> None:
    player = a_run("start >> a >> result", budget=Budget(max_seconds=5))
    player.begin()
    player.open.clear()
    from runs.engine.facts import StepSucceeded

    player.tell(StepSucceeded("a", 1, "x", machine_ms=4_000))
    assert player.run.state == "succeeded"
    assert [(alert["at"], alert["used"]) for alert in alerts_of(player)] == [(0.5, 4), (0.8, 4)]
    assert player.events[-1].type != "budget_alert"
