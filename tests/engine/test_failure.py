"""Repair, retry, fallback, then (engine.md §3)."""

from typing import Any

import pytest

from pipelines.graph.model import FailurePolicy, Repair, Retry
from runs.engine.facts import ErrorClass, Recovered, StepError
from runs.engine.failure import GiveUp, Reaction, Tries, UseFallback, react
from runs.engine.failure import Repair as AskAgain
from runs.engine.failure import Retry as TryAgain
from tests.engine.playing import Fails, a_run

POLICY = FailurePolicy(Retry(max_attempts=3), Repair(max_attempts=2))


def an_error(cls: str, code: str = "broken", retry_after: float | None = None) -> StepError:
    return StepError(ErrorClass(cls), code, "It is broken.", retry_after)


@pytest.mark.parametrize(
    ("error", "tries", "expected"),
    [
        (an_error("invalid_output"), Tries(), AskAgain()),
        (an_error("invalid_output"), Tries(repairs=2), GiveUp()),
        (an_error("invalid_output"), Tries(repairs=2, fallbacks=1), UseFallback(1)),
        (an_error("invalid_output"), Tries(may_repair=False), GiveUp()),
        (an_error("transient"), Tries(), TryAgain(0.5)),
        (an_error("transient"), Tries(retries=1), TryAgain(1.0)),
        (an_error("transient"), Tries(retries=2), GiveUp()),
        (an_error("transient"), Tries(retries=2, fallbacks=2, fallback=1), UseFallback(2)),
        (an_error("transient"), Tries(retries=2, fallbacks=2, fallback=2), GiveUp()),
        (an_error("transient", retry_after=20.0), Tries(), TryAgain(20.0)),
        (an_error("transient", retry_after=20.0), Tries(seconds_left=10.0), GiveUp()),
        (an_error("timeout"), Tries(), TryAgain(0.5)),
        (an_error("timeout"), Tries(may_repeat=False), GiveUp()),
        (an_error("timeout"), Tries(seconds_left=0.0, fallbacks=1), GiveUp()),
        (an_error("refused"), Tries(fallbacks=1), UseFallback(1)),
        (an_error("tool_error"), Tries(), GiveUp()),
        (an_error("config"), Tries(fallbacks=1), UseFallback(1)),
        (an_error("denied"), Tries(fallbacks=1), GiveUp()),
        (an_error("budget"), Tries(fallbacks=1), GiveUp()),
        (an_error("limit"), Tries(fallbacks=1), GiveUp()),
        (an_error("limit", "context_too_large"), Tries(fallbacks=1), UseFallback(1)),
        (an_error("limit", "context_too_large"), Tries(), GiveUp()),
        (an_error("transient", "circuit_open"), Tries(fallbacks=1), UseFallback(1)),
        (an_error("transient", "circuit_open"), Tries(retries=2), TryAgain(30.0, circuit=True)),
        (an_error("transient", "circuit_open"), Tries(seconds_left=9.0), GiveUp()),
    ],
)
def test_each_error_has_its_reaction(error: StepError, tries: Tries, expected: Reaction) -> None:
    assert react(POLICY, error, tries, jitter=0.5) == expected


def test_delays_grow_to_a_ceiling_and_are_spread() -> None:
    policy = FailurePolicy(Retry(max_attempts=10))
    delays = [react(policy, an_error("transient"), Tries(retries=n), jitter=0.999) for n in range(9)]
    assert all(isinstance(delay, TryAgain) and delay.delay <= 60.0 for delay in delays)
    assert react(policy, an_error("transient"), Tries(retries=8), jitter=0.0) == TryAgain(0.0)


def test_an_invalid_output_is_sent_back_with_what_is_wrong() -> None:
    schema = {"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}}
    player = a_run("start >> judge >> result", {"judge": ["nonsense", {"score": 7}]}, judge={"output_schema": schema})
    player.play()
    assert player.run.state == "succeeded"
    first, second = player.started
    assert first.repair is None
    assert (second.attempt, second.repair["output"]) == (2, "nonsense")
    assert second.generation > first.generation
    assert "object" in second.repair["findings"][0]
    assert "step_retrying" in player.types("judge")


def test_the_agents_own_schema_counts_where_the_step_has_none() -> None:
    player = a_run("start >> judge >> result", {"judge": ["text", {"body": 1}]}, judge={"agent": "strict@1"}).play()
    assert len(player.started) == 2


def test_invalid_output_never_reaches_the_next_step() -> None:
    player = a_run("start >> a >> b >> result", {"a": "short"}, a={"checks": [{"rule": "length", "min": 10}]}).play()
    assert player.paths_started() == ["a", "a", "a"]
    assert player.run.state == "failed"
    assert player.run.error["class"] == "invalid_output"
    assert player.state("b") == "cancelled"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"rule": "expr", "expr": "value.n > 3"}, {"n": 4}, {"n": 3}),
        ({"rule": "length", "max": 3}, "abc", "abcd"),
        ({"rule": "length", "min": 2}, [1, 2], [1]),
        ({"rule": "regex", "pattern": "^[a-z]+$"}, "abc", "ABC"),
        ({"rule": "contains", "text": "${input.word}"}, "with magic in it", "without"),
        ({"rule": "schema", "schema": {"type": "string"}}, "text", 5),
    ],
)
def test_checks_hold_back_what_does_not_fit(rule: dict[str, Any], good: Any, bad: Any) -> None:
    step = {"checks": [{**rule, "message": "Please mend it."}], "on_error": {"repair": {"max_attempts": 0}}}
    assert (
        a_run("start >> a >> result", {"a": lambda _: good}, input={"word": "magic"}, a=step).play().run.state
        == "succeeded"
    )
    player = a_run("start >> a >> result", {"a": lambda _: bad}, input={"word": "magic"}, a=step).play()
    assert player.run.state == "failed"
    assert "Please mend it." in player.run.error["message"]


def test_a_transient_error_is_retried_after_its_delay_and_not_before() -> None:
    player = a_run("start >> a >> result", {"a": [Fails("transient"), "fine"]})
    player.begin()
    player.finish("a")
    assert player.state("a") == "retrying"
    assert (player.last.wake_at - player.now).total_seconds() == 0.5
    assert player.last.idle
    assert player.run.state == "running"
    assert not player.wait(0.49).starts
    assert player.wait(0.01).starts[0].attempt == 2
    assert player.play().run.state == "succeeded"


def test_a_fallback_has_fresh_retries_and_marks_the_step_degraded() -> None:
    policy = {"retry": {"max_attempts": 2}, "fallback": [{"model": "demo/echo"}, {"agent": "careful@1"}]}
    script = {"a": [Fails("transient")] * 4 + ["at last"]}
    player = a_run("start >> a >> result", script, a={"on_error": policy}).play()
    assert [start.model for start in player.started] == [None, None, "demo/echo", "demo/echo", None]
    assert player.started[-1].agent.id == "careful@1"
    assert player.row("a")["flags"] == ["degraded"]
    assert player.run.state == "succeeded"


def test_an_agents_own_fallbacks_serve_a_step_that_names_none() -> None:
    player = a_run("start >> a >> result", {"a": [Fails("refused"), "fine"]}, a={"agent": "careful@1"}).play()
    assert [start.model for start in player.started] == [None, "demo/echo"]


CAREFUL: dict[str, dict[str, Any]] = {
    "decide": {
        "mode": "ai",
        "agent": "careful@1",
        "value": "x",
        "routes": [{"port": "yes", "description": "Good"}],
        "otherwise": "no",
    },
    "check": {"value": "x", "rules": [{"rule": "ai_rubric", "rubric": "Is it good?", "agent": "careful@1"}]},
    "combine": {"merge": "synthesize", "agent": "careful@1"},
}


@pytest.mark.parametrize("kind", CAREFUL)
def test_an_agents_fallbacks_serve_whatever_it_routes_judges_or_merges(kind: str) -> None:
    said = {"verdicts": [{"score": 1, "reason": "", "finding": ""}]} if kind == "check" else {"chosen": "yes"}
    before, after = ("b, c" if kind == "combine" else "b"), ("a:yes" if kind == "decide" else "a")
    drawing = f"start >> {before} >> a; {after} >> join >> result"
    player = a_run(drawing, {"a": [Fails("refused"), said]}, a={"kind": kind, **CAREFUL[kind]}).play()
    assert [start.model for start in player.started if start.path == "a"] == [None, "demo/echo"]
    assert (player.state("a"), player.row("a")["flags"]) == ("succeeded", ["degraded"])
    assert player.run.state == "succeeded"


def test_a_check_with_several_judges_has_the_fallbacks_it_names_alone() -> None:
    rules = [{"rule": "ai_rubric", "rubric": "Is it good?", "agent": name} for name in ("careful@1", "writer@1")]
    check = {"kind": "check", "value": "x", "rules": rules}
    player = a_run("start >> a >> result", {"a": Fails("refused")}, a=check).play()
    assert player.paths_started() == ["a"]
    named = {**check, "on_error": {"fallback": [{"model": "demo/echo"}]}}
    player = a_run("start >> a >> result", {"a": Fails("refused")}, a=named).play()
    assert [start.model for start in player.started] == [None, "demo/echo"]


def test_use_default_goes_on_with_the_default() -> None:
    player = a_run("start >> a >> result", {"a": Fails()}, a={"on_error": {"then": "use_default", "default": {"n": 0}}})
    player.play()
    assert (player.row("a")["output"], player.row("a")["flags"]) == ({"n": 0}, ["degraded"])


def test_route_takes_the_error_port() -> None:
    player = a_run("start >> a >> result; a:error >> mend >> result", {"a": Fails()}, a={"on_error": {"then": "route"}})
    player.play()
    assert player.paths_started() == ["a", "mend"]
    assert (player.state("a"), player.row("a")["ports"]) == ("failed", ["error"])
    assert player.run.state == "succeeded"


def test_a_route_that_leads_nowhere_is_a_failure_not_a_success() -> None:
    player = a_run("start >> a >> result", {"a": Fails()}, a={"on_error": {"then": "route"}}).play()
    assert (player.run.state, player.run.reason) == ("failed", "no_result")


ASKS = {"on_error": {"then": "ask_human"}}


def a_failed_run(**script: Any) -> Any:
    player = a_run("start >> a >> result", {"a": Fails(), **script}, a={**ASKS, "output_schema": {"type": "string"}})
    player.play()
    assert (player.state("a"), player.row("a")["wait_reason"]) == ("waiting", "failure")
    assert player.run.state == "waiting"
    assert player.asked()[0]["kind"] == "failure"
    return player


def test_a_person_may_order_a_retry_that_trusts_nothing_from_before() -> None:
    player = a_failed_run()
    player.script["a"] = "fine"
    player.answer("retry")
    assert (player.started[-1].attempt, player.started[-1].generation) == (2, 1)
    assert player.play().run.state == "succeeded"


def test_a_person_may_give_the_output_if_it_fits() -> None:
    player = a_failed_run()
    player.answer("use", {"not": "text"})
    assert player.state("a") == "waiting"
    assert [question["request"] for question in player.asked()] == ["a!2"]
    player.answer("use", "my own words")
    assert player.row("a")["output"] == "my own words"
    assert player.run.state == "succeeded"


@pytest.mark.parametrize("decision", ["stop", "expire"])
def test_a_person_may_stop_the_run_and_so_does_silence(decision: str) -> None:
    player = a_failed_run()
    player.answer(decision)
    assert (player.run.state, player.run.reason) == ("failed", "step_failed")


def test_a_person_may_skip_the_step() -> None:
    player = a_failed_run()
    player.answer("skip")
    assert player.row("a")["flags"] == ["contained"]
    assert (player.run.state, player.run.reason) == ("failed", "no_result")


def test_an_irreversible_action_is_not_repeated_after_a_timeout() -> None:
    player = a_run("start >> approve >> send >> result", {"send": Fails("timeout", "timed_out")}).play()
    player.answer("approve")
    player.play()
    assert player.paths_started() == ["send"]
    assert player.run.state == "failed"


def test_a_keyed_irreversible_action_is_repeated_under_its_grant() -> None:
    order = {"kind": "tool", "tool": "shop.order@1", "args": {"n": 1}}
    player = a_run("start >> send >> result", {"send": [Fails("timeout"), "ok"]}, send=order).play()
    player.answer("approve")
    player.play()
    assert [start.attempt for start in player.started] == [1, 2]
    assert player.started[0].grants == player.started[1].grants != {}
    assert player.run.state == "succeeded"


def test_machine_time_and_pauses_together_keep_within_the_total() -> None:
    step = {"total_timeout": "PT10S", "timeout": "PT8S", "on_error": {"retry": {"max_attempts": 10}}}
    player = a_run("start >> a >> result", a=step)
    player.begin()
    assert player.started[0].timeout == 8.0
    from runs.engine.facts import StepFailed

    player.open.clear()
    player.tell(StepFailed("a", 1, an_error("timeout"), jitter=0.5, machine_ms=6_000))
    player.wait(0.5)
    assert player.started[1].timeout == pytest.approx(3.5)
    player.tell(StepFailed("a", 2, an_error("timeout"), jitter=0.5, machine_ms=3_500))
    assert player.run.state == "failed"


def test_a_missing_value_names_the_path() -> None:
    player = a_run("start >> a >> result", a={"prompt": "About ${input.topic.name}."}).play()
    assert player.run.state == "failed"
    assert player.run.error["class"] == "config"
    assert "input.topic" in player.run.error["message"]


def test_a_step_sees_only_what_came_before_it() -> None:
    player = a_run("start >> a, b >> join >> result", b={"prompt": "${steps.a.output}"})
    player.begin()
    assert player.row("b")["error"]["class"] == "config"


def test_the_fifth_crash_in_a_step_gives_it_up() -> None:
    player = a_run("start >> a >> result")
    player.begin()
    for _ in range(4):
        assert player.crash().starts[0].attempt == 1
    player.crash()
    assert player.run.error["code"] == "dead_letter"
    assert player.run.state == "failed"


def test_a_clean_hand_over_counts_no_crash() -> None:
    player = a_run("start >> a >> result")
    player.begin()
    for number in range(9):
        assert player.crash(crashed=False).starts, number
    assert player.play().run.state == "succeeded"


def test_an_open_circuit_is_waited_for_and_counts_no_attempt() -> None:
    player = a_run("start >> a >> result", {"a": [Fails("transient", "circuit_open"), "fine"]})
    player.begin()
    player.finish("a")
    assert (player.state("a"), player.row("a")["wait_reason"]) == ("waiting", "circuit")
    player.crash()
    assert not player.wait(29).starts
    assert player.wait(1).starts
    assert player.play().run.state == "succeeded"


def test_a_recovered_retry_still_waits_for_its_time() -> None:
    player = a_run("start >> a >> result", {"a": [Fails("transient", retry_after=40.0), "fine"]})
    player.begin()
    player.finish("a")
    assert not player.crash().starts
    assert (player.last.wake_at - player.now).total_seconds() == 40.0
    assert player.wait(40).starts
    player.tell(Recovered(crashed=False))
