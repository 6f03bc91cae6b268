"""Merging by judgement: who is asked what, what a verdict does, and that a crash at any moment changes nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.engine.decision import Start
from runs.engine.facts import StepSucceeded
from tests.engine.playing import Fails, Player, a_run

BEST = {"kind": "combine", "merge": "best_of", "agent": "writer@1", "prompt": "For ${input.who}."}
DRAWING = "start >> a, b, c >> join >> result"


def choosing(*names: str, reason: str = "It is clear.") -> Any:
    def verdict(start: Start) -> StepSucceeded:
        return StepSucceeded(start.path, start.attempt, {"best": list(names), "reason": reason}, {"model": "m"})

    return verdict


def a_choice(verdict: Any, **join: Any) -> Player:
    script = {"a": "first", "b": {"n": 2}, "c": Fails(), "join": verdict}
    return a_run(DRAWING, script, input={"who": "Ann"}, join={**BEST, **join}, c={"on_error": {"then": "skip"}})


def test_the_best_candidate_wins_as_it_came() -> None:
    player = a_choice(choosing("b")).play()

    asked = player.started[-1]
    assert asked.input == {
        "prompt": "For Ann.",
        "candidates": [{"name": "a", "value": "first"}, {"name": "b", "value": {"n": 2}}],
    }
    assert asked.agent is not None
    row = player.row("join")
    assert row["output"] == {"n": 2}
    assert row["meta"] == {"model": "m", "missing": ["c"], "winner": "b", "reason": "It is clear.", "tied": []}


def test_of_equals_the_one_listed_first_wins_and_the_others_are_named() -> None:
    player = a_choice(choosing("b", "a")).play()

    assert player.row("join")["output"] == "first"
    assert player.row("join")["meta"]["tied"] == ["b"]


@pytest.mark.parametrize("verdict", [choosing("c"), choosing("nobody"), choosing()])
def test_a_verdict_that_names_no_candidate_is_asked_again_and_then_fails(verdict: Any) -> None:
    player = a_choice([verdict, choosing("a")]).play()
    assert player.row("join")["output"] == "first"
    assert [start.generation for start in player.started if start.path == "join"] == [0, 1]

    player = a_choice(verdict).play()
    assert player.run.error["code"] == "unknown_candidate"


def test_one_candidate_alone_wins_without_a_question() -> None:
    script = {"a": "first", "b": Fails(), "c": Fails()}
    player = a_run(DRAWING, script, input={"who": "Ann"}, join=BEST).play()

    assert player.row("join")["output"] == "first"
    assert "join" not in player.paths_started()


def test_what_stands_for_an_absent_branch_is_a_candidate_unless_it_is_null() -> None:
    player = a_choice(choosing("c"), missing="default", default="spare").play()
    assert player.row("join")["output"] == "spare"

    player = a_choice(choosing("a"), missing="null").play()
    assert [entry["name"] for entry in player.started[-1].input["candidates"]] == ["a", "b"]


def test_a_new_text_must_fit_the_step_and_is_a_model_s() -> None:
    join = {**BEST, "merge": "synthesize", "checks": [{"rule": "contains", "text": "tea"}]}
    send = {"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.join.output}"}}
    script = {"a": "x", "b": "y", "join": ["about coffee", "about tea"]}
    drawing = "start >> a, b >> join >> send >> result"
    log = {"kind": "tool", "tool": "crm.log@1", "args": {"note": "fixed"}}

    player = a_run(
        drawing, script, input={"who": "Ann"}, join=join, send=send, a={"kind": "transform", "set": {"x": "1"}}, b=log
    )
    player.play()

    assert player.row("join")["output"] == "about tea"
    assert player.asked()[0]["trust"] == {"/args/body": "tool"}


def test_a_synthesis_of_the_author_s_own_words_is_a_model_s() -> None:
    fixed = {"kind": "transform", "set": {"x": "1"}}
    send = {"kind": "tool", "tool": "email.send@1", "args": {"body": "${steps.join.output}"}}
    join = {**BEST, "merge": "synthesize"}
    player = a_run(
        "start >> a, b >> join >> send >> result",
        {"join": "new"},
        input={"who": "Ann"},
        join=join,
        send=send,
        a=fixed,
        b=fixed,
    ).play()

    assert player.asked()[0]["trust"] == {"/args/body": "model"}
    assert "written by a model" in player.asked()[0]["why"]


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_a_crash_at_any_moment_asks_the_same_and_ends_the_same(seed: int, crash_at: int) -> None:
    count = [0]

    def maybe_crash(player: Player) -> None:
        count[0] += 1
        if count[0] == crash_at:
            player.crash()

    player = a_choice(choosing("b"))
    import random

    player.play(random.Random(seed).choice, maybe_crash)

    assert player.row("join")["output"] == {"n": 2}
    asked = [start.input for start in player.started if start.path == "join"]
    assert all(given == asked[0] for given in asked)
