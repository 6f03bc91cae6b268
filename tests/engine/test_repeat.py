"""Repeat: rounds and their paths, when it ends and with what, and what holds in the middle of a round."""

from typing import Any

import pytest

from runs.engine.facts import CancelRequested, PauseRequested, ResumeRequested, StepSucceeded
from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run

SCORE = "steps.review.output.score"
DRAFT = {"prompt": "Draft ${round.n}. Before: ${round.previous.review.output.advice | default('nothing')}."}
LOOP = a_graph("draft >> review", draft=DRAFT, review={"prompt": "Judge ${steps.draft.output}."})
RESULT = {"kind": "output", "value": "${steps.write.output}"}
WRITTEN = "${steps.draft.output}"


def scored(*scores: float) -> Any:
    """Return a reviewer who gives these scores, round by round."""

    def review(start: Any) -> dict[str, Any]:
        number = int(start.path.partition("#")[2].partition(".")[0])
        return {"score": scores[number - 1], "advice": f"advice {number}"}

    return review


def a_loop(*scores: float, drawing: str = "start >> write >> result", script: Any = None, **config: Any) -> Player:
    nodes = config.pop("nodes", {})
    repeat = {"kind": "repeat", "until": f"{SCORE} >= 8", "result": WRITTEN, "graph": LOOP, **config}
    repeat = {name: value for name, value in repeat.items() if value is not None}
    said = {"draft": lambda start: start.input["prompt"], "review": scored(*scores), **(script or {})}
    return a_run(drawing, said, write=repeat, result=RESULT, **nodes)


def test_rounds_run_one_after_the_other_until_one_is_good() -> None:
    player = a_loop(5, 9).play()
    assert player.paths_started() == ["write#1.draft", "write#1.review", "write#2.draft", "write#2.review"]
    assert player.run.output == "Draft 2. Before: advice 1."
    meta = player.row("write")["meta"]
    assert (meta["ended"], meta["round"]) == ("until", 2)
    assert [entry["status"] for entry in meta["rounds"]] == ["succeeded", "succeeded"]
    assert player.types("write").count("round_started") == 2


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({}, "Draft 3. Before: advice 2."),
        ({"on_exhausted": "best", "best_by": SCORE}, "Draft 2. Before: advice 1."),
        ({"on_exhausted": "best", "no_progress": {"metric": SCORE, "rounds": 5}}, "Draft 2. Before: advice 1."),
        ({"max_rounds": 1}, "Draft 1. Before: nothing."),
    ],
)
def test_when_no_round_was_good_the_last_or_the_best_counts(config: dict[str, Any], output: str) -> None:
    player = a_loop(5, 7, 6, **config).play()
    assert player.run.output == output
    assert player.row("write")["meta"]["ended"] == "max_rounds"
    assert player.row("write")["ports"] == ["done"]


def test_of_equally_good_rounds_the_first_is_the_best() -> None:
    assert a_loop(6, 6, 6, on_exhausted="best", best_by=SCORE).play().row("write")["meta"]["round"] == 1


def test_none_good_fails_when_the_author_says_so() -> None:
    player = a_loop(5, 5, 5, on_exhausted="fail").play()
    assert player.run.error["code"] == "rounds_exhausted"
    assert player.run.error["class"] == "limit"


@pytest.mark.parametrize("on_exhausted", ["last", "best", "fail"])
def test_a_wired_exhausted_port_is_taken_instead(on_exhausted: str) -> None:
    drawing = "start >> write >> result; write:exhausted >> worse"
    worse = {"worse": {"kind": "output", "value": "gave up on ${steps.write.output}"}}
    player = a_loop(5, 7, 6, drawing=drawing, on_exhausted=on_exhausted, best_by=SCORE, nodes=worse).play()
    assert player.row("write")["ports"] == ["exhausted"]
    assert player.state("result") == "skipped"
    number = 2 if on_exhausted == "best" else 3
    assert f"gave up on Draft {number}." in player.run.output["worse"]
    assert a_loop(9, drawing=drawing, nodes=worse).play().state("worse") == "skipped"


@pytest.mark.parametrize(
    ("scores", "patience", "rounds"),
    [((5, 5, 5, 9), 2, 3), ((5, 6, 7, 7, 7), 2, 5), ((5, 4, 6, 5, 4, 3), 2, 5), ((5, 5, 9), 1, 2)],
)
def test_it_stops_early_when_the_metric_no_longer_rises(scores: tuple[float, ...], patience: int, rounds: int) -> None:
    stop = {"metric": SCORE, "rounds": patience}
    player = a_loop(*scores, max_rounds=10, no_progress=stop).play()
    assert player.row("write")["meta"]["ended"] == "no_progress"
    assert len(player.row("write")["meta"]["rounds"]) == rounds


def test_without_a_condition_all_rounds_run_and_that_is_done() -> None:
    drawing = "start >> write >> result; write:exhausted >> worse"
    worse = {"worse": {"kind": "output", "value": "worse"}}
    player = a_loop(1, 2, 3, until=None, drawing=drawing, nodes=worse)
    assert player.play().row("write")["ports"] == ["done"]
    assert player.run.output["result"] == "Draft 3. Before: advice 2."


def test_a_failed_round_fails_the_repeat_which_then_does_what_its_then_says() -> None:
    script = {"write#2.review": Fails()}
    player = a_loop(5, 5, script=script).play()
    assert player.run.error["code"] == "round_failed"
    assert "Round 2 of write failed: It is broken." in player.run.error["message"]
    skipped = a_loop(5, 5, script=script, on_error={"then": "use_default", "default": "as it was"}).play()
    assert skipped.run.output == "as it was"


def test_the_rest_of_a_round_is_cancelled_when_a_step_stops_it() -> None:
    graph = a_graph("draft, look >> review", draft=DRAFT)
    player = a_loop(5, graph=graph, script={"draft": Fails()}, on_error={"then": "skip"})
    player.begin()
    player.finish("write#1.draft")
    assert player.cancelled == ["write#1.look"]
    assert player.row("write#1.look")["meta"]["cancelled"] == "round_stopped"


def test_an_order_to_stop_the_run_is_obeyed_inside_a_round() -> None:
    draft = {**DRAFT, "on_error": {"then": "stop_run"}}
    graph = a_graph("draft >> review", draft=draft)
    player = a_loop(5, graph=graph, script={"draft": Fails()}, on_error={"then": "skip"}).play()
    assert player.run.error["path"] == "write#1.draft"


def test_a_round_whose_judge_was_left_out_is_not_good_and_the_next_one_begins() -> None:
    review = {"prompt": "Judge.", "on_error": {"then": "skip"}}
    graph = a_graph("draft >> review", draft=DRAFT, review=review)
    player = a_loop(5, 9, graph=graph, script={"write#1.review": Fails()}).play()
    assert player.row("write")["meta"]["round"] == 2
    assert player.run.output == "Draft 2. Before: nothing."


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"until": "steps.review.output.grade > 1"}, "missing_value"),
        ({"until": SCORE}, "not_a_condition"),
        ({"best_by": "steps.review.output.advice"}, "not_a_number"),
        ({"no_progress": {"metric": "true", "rounds": 2}}, "not_a_number"),
    ],
)
def test_a_condition_that_says_nothing_is_an_error_after_the_first_round(config: dict[str, Any], code: str) -> None:
    player = a_loop(5, 9, **config).play()
    assert player.run.error["code"] == "round_failed"
    assert len(player.started) == 2
    assert player.row("write")["error"]["class"] == "config"


def test_a_round_that_routing_empties_keeps_the_value_before_it() -> None:
    keep = {"kind": "decide", "routes": [{"port": "go", "when": "round.n < 2"}], "otherwise": "enough"}
    graph = a_graph("keep; keep:go >> draft", keep=keep, draft=DRAFT)
    player = a_loop(graph=graph, until="steps.keep.output.chosen == 'enough'").play()
    assert player.run.output == "Draft 1. Before: nothing."
    assert [entry["status"] for entry in player.row("write")["meta"]["rounds"]] == ["succeeded", "skipped"]


def test_what_a_round_keeps_in_memory_does_not_grow() -> None:
    player = a_loop(*[1] * 60, max_rounds=60)
    player.begin()
    most = 0
    while player.open:
        player.finish(next(iter(player.open)))
        most = max(most, len(player.run.live), len(player.run.scopes) * 2)
    assert most <= 8
    assert player.run.state == "succeeded"
    assert set(player.run.steps) == {"start", "write", "result"}


@pytest.mark.parametrize("at", range(1, 6))
def test_a_run_that_comes_back_in_any_round_goes_on_from_there(at: int) -> None:
    config = {"no_progress": {"metric": SCORE, "rounds": 2}, "on_exhausted": "best", "max_rounds": 5}
    steady = a_loop(5, 7, 7, 7, 7, **config).play()
    player = a_loop(5, 7, 7, 7, 7, **config)
    player.begin()
    turn = 0
    while player.open:
        player.finish(next(iter(player.open)))
        turn += 1
        if turn == at and player.open:
            player.crash(crashed=False)
    assert player.row("write")["meta"] == steady.row("write")["meta"]
    assert player.run.output == steady.run.output == "Draft 2. Before: advice 1."


def test_a_crash_inside_a_round_starts_the_same_attempt_again() -> None:
    player = a_loop(5, 9)
    player.begin()
    player.finish("write#1.draft")
    player.finish("write#1.review")
    decision = player.crash()
    assert [(start.path, start.attempt) for start in decision.starts] == [("write#2.draft", 1)]
    assert player.started[-1].input["prompt"] == "Draft 2. Before: advice 1."
    assert player.play().run.output == "Draft 2. Before: advice 1."


def test_a_paused_run_begins_no_round() -> None:
    player = a_loop(5, 9)
    player.begin()
    player.finish("write#1.draft")
    player.tell(PauseRequested())
    player.crash(crashed=False)
    player.tell(ResumeRequested())
    player.tell(PauseRequested())
    player.finish("write#1.review")
    assert not player.open
    assert player.state("write") == "running"
    player.crash(crashed=False)
    assert not player.open
    player.tell(ResumeRequested())
    assert sorted(player.open) == ["write#2.draft"]
    assert player.play().run.state == "succeeded"


def test_a_cancelled_repeat_ends_when_its_last_step_does() -> None:
    player = a_loop(5, 9)
    player.begin()
    player.finish("write#1.draft")
    player.tell(CancelRequested())
    assert player.cancelled == ["write#1.review"]
    player.tell(StepSucceeded("write#1.review", 1, "late"))
    assert player.run.state == "cancelled"
    assert player.state("write") == player.state("result") == "cancelled"


def test_a_person_may_have_the_failed_round_run_again() -> None:
    script = {"write#2.review": Fails()}
    player = a_loop(5, 9, script=script, on_error={"then": "ask_human"}).play()
    assert player.asked()[0]["request"] == "write!1"
    player.crash()
    del player.script["write#2.review"]
    player.answer("retry")
    again = [(start.path, start.attempt, start.generation) for start in player.started[4:]]
    assert again == [("write#2.draft", 2, 1)]
    player.crash()
    assert player.play().run.output == "Draft 2. Before: advice 1."
    assert len(player.row("write")["meta"]["rounds"]) == 2


def test_a_person_may_allow_one_more_try_after_the_last_round() -> None:
    player = a_loop(5, 5, 5, on_exhausted="fail", on_error={"then": "ask_human"}).play()
    player.script["review"] = scored(0, 0, 9)
    player.answer("retry")
    assert player.play().row("write")["meta"]["ended"] == "until"


def test_what_ran_inside_before_a_round_began_anew_is_not_taken_for_new() -> None:
    inner = {"kind": "repeat", "until": "round.n == 2", "graph": a_graph("try", **{"try": {"prompt": "Try."}})}
    graph = a_graph("inner >> review", inner=inner, review={"prompt": "Judge."})
    player = a_loop(9, graph=graph, script={"review": Fails()}, result="x", on_error={"then": "ask_human"}).play()
    player.script["review"] = scored(9)
    player.answer("retry")
    assert sorted(player.open) == ["write#1.inner#1.try"]
    player.crash()
    assert sorted(player.open) == ["write#1.inner#1.try"]
    player.finish("write#1.inner#1.try")
    assert sorted(player.open) == ["write#1.inner#2.try"]
    assert player.play().run.state == "succeeded"


def test_rounds_and_items_nest_both_ways() -> None:
    items = {"kind": "each", "over": "${input.topics}", "graph": a_graph("dig", dig={"prompt": "${round.n} ${item}"})}
    said = {"dig": lambda start: start.input["prompt"]}
    graph = a_graph("all", all=items)
    player = a_loop(graph=graph, until="round.n == 2", result="${steps.all.output}", script=said)
    player.run.input = player.input = {"topics": ["a", "b"]}
    assert player.play().run.output == ["2 a", "2 b"]
    assert "write#2.all[1].dig" in player.rows

    again = {"kind": "repeat", "until": "round.n == 2", "graph": a_graph("dig", dig={"prompt": "${item} ${round.n}"})}
    each = {"kind": "each", "over": [7, 8], "graph": a_graph("again", again=again)}
    player = a_run("start >> write >> result", said, write=each, result=RESULT)
    player.play()
    assert player.run.output == ["7 2", "8 2"]
    assert "write[1].again#2.dig" in player.rows


def test_the_condition_sees_what_ran_before_the_repeat() -> None:
    player = a_loop(9, until=f"{SCORE} >= 8 && steps.brief.output == 'B'", drawing="start >> brief >> write >> result")
    player.script["brief"] = "B"
    assert player.play().row("write")["meta"]["ended"] == "until"


def test_words_of_the_round_before_are_a_model_s() -> None:
    player = a_loop(5, 9)
    player.begin()
    assert player.started[0].trust["/prompt"] == "model"


def test_more_steps_than_a_run_may_have_end_the_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.engine.instances.MAX_STEPS", 6)
    player = a_loop(1, 1, 1).play()
    assert player.run.error["code"] == "too_many_steps"
