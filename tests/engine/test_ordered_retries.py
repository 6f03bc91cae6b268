"""A person orders that something be tried again, at whatever moment: nothing breaks, sticks, or counts as enough."""

from typing import Any

import pytest

from runs.engine import budget
from runs.engine.facts import ErrorClass, StepError, StepFailed
from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run

ASKS = {"on_error": {"then": "ask_human"}}
QUIET = {"on_error": {"then": "skip"}}
MERGES = ("object", "list", "first", "prefer", "concat", "vote", "best_of", "synthesize")


def a_join(script: Any, **config: Any) -> Player:
    join = {"kind": "combine", "agent": "writer@1", "prompt": "Which?", **ASKS, **config}
    return a_run("start >> a, b >> join >> result", script, a=QUIET, b=QUIET, join=join)


@pytest.mark.parametrize("merge", MERGES)
def test_a_join_that_got_nothing_is_not_merged_because_somebody_says_retry(merge: str) -> None:
    player = a_join({"a": Fails(), "b": Fails()}, merge=merge).play()
    player.answer("retry")
    assert player.state("join") == "waiting"
    (question,) = player.asked()
    assert question["why"] == "join got 0 of its 2 inputs, which is not enough."
    player.answer("stop")
    assert player.run.error["code"] == "not_enough_inputs"


def test_a_join_that_got_too_little_still_has_too_little() -> None:
    player = a_join({"a": Fails()}, min_ok=2).play()
    player.crash(crashed=False)
    player.answer("retry")
    assert player.state("join") == "waiting"
    player.answer("use", {"b": "b"})
    assert player.play().run.state == "succeeded"


def test_a_join_whose_time_was_up_waits_for_as_long_again() -> None:
    player = a_join({}, wait_timeout="PT5S", on_timeout="fail")
    player.begin()
    player.finish("a")
    player.wait(6)
    player.answer("retry")
    assert player.state("join") == "pending"
    player.wait(4)
    player.finish("b")
    assert player.row("join")["output"] == {"a": "a", "b": "b"}


def test_a_join_that_is_complete_by_the_time_of_the_retry_goes_on() -> None:
    player = a_join({}, wait_timeout="PT5S", on_timeout="fail")
    player.begin()
    player.finish("a")
    player.wait(6)
    player.finish("b")
    player.answer("retry")
    assert player.play().run.state == "succeeded"
    assert player.row("join")["output"] == {"a": "a", "b": "b"}


def capped(path: str, config: dict[str, Any]) -> Player:
    """Return a run whose container has reached its cap with one of two parallel steps, while the other runs."""
    more = {"budget": {"max_llm_calls": 1}, **ASKS, **config}
    player = a_run(f"start >> {path} >> result", {"close": {"winner": "ann", "verdict": "So."}}, **{path: more})
    player.begin()
    first, second = sorted(player.open)
    budget.reserve(player.run, first, 10, 1)
    assert budget.admit(player.run, second, 10, 1)
    attempt = player.open.pop(second).attempt
    player.tell(StepFailed(second, attempt, StepError(ErrorClass.BUDGET, "step_cap", "It is used up.")))
    assert player.state(path) == "waiting"
    return player


CONTAINERS: dict[str, dict[str, Any]] = {
    "loop": {"kind": "repeat", "max_rounds": 2, "graph": a_graph("a; b")},
    "chat": {
        "kind": "team",
        "task": "Agree.",
        "mode": "debate",
        "members": ["ann@1", "ben@1"],
        "judge": "cem@1",
        "rounds": 1,
    },
}
NEWEST = {"loop": ("loop#1.a", "loop#1.b"), "chat": ("chat~1.speak_1", "chat~1.speak_2")}


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("path", list(CONTAINERS))
def test_a_retry_in_the_middle_of_a_round_or_turn_waits_for_its_end(path: str, *, crashes: bool) -> None:
    player = capped(path, CONTAINERS[path])
    still, failed = NEWEST[path]
    decision = player.answer("retry")
    assert not decision.starts, "what still runs is not started again"
    if crashes:
        player.crash(crashed=False)
    assert list(player.open) == [still]
    player.finish(still)
    assert failed in player.open, "what failed is tried again"
    player.play()
    assert player.run.state == "succeeded", player.states()


def test_a_repeat_that_could_not_begin_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.engine.instances.MAX_STEPS", 3)
    player = a_run("start >> loop >> result", loop={**CONTAINERS["loop"], **ASKS}).play()
    assert player.row("loop")["error"]["code"] == "too_many_steps"
    player.answer("retry")
    assert player.state("loop") == "waiting"
    monkeypatch.setattr("runs.engine.instances.MAX_STEPS", 100)
    player.answer("retry")
    assert player.play().run.state == "succeeded"
