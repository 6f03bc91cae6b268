"""A fork takes over what is not downstream, runs the rest, and carries no consent over."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.engine.budget import Spend
from runs.engine.decision import StepRecord
from runs.engine.facts import StepSucceeded
from runs.engine.forking import REUSED, NoSuchStep, RunsAnew, take_over
from runs.engine.state import Execution
from runs.engine.status import RunState
from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run

RESULT = {"kind": "output", "value": "${steps.c.output}"}
CHAIN = "start >> a >> b >> c >> result"
READS = {"b": {"prompt": "${steps.a.output}"}, "c": {"prompt": "${steps.b.output}"}, "result": RESULT}


def forked(
    player: Player, start: str | None, by_hand: Mapping[str, Any] | None = None, script: Any = None, **more: Any
) -> Player:
    """Return the fork of a player's run as its new owner finds it: rows alone, nothing begun."""
    graph = player.document.graph
    starts = [start] if start is not None else [] if by_hand else list(graph.nodes)
    found = take_over(graph, player.records(), starts, by_hand or {}, player.now)
    new = Player(player.document, player.script if script is None else script, player.input, lock=player.lock, **more)
    old = {record.path: record for record in player.records()}
    rows = [carried(old[path]) for path in found.carried] + found.begun
    new.rows = {record.path: json.loads(json.dumps(asdict(record), default=str)) for record in rows}
    new.run = Execution.restore(new.document, new.lock, new.input, new.budget, new.records(), RunState.QUEUED, Spend())
    return new


def carried(record: StepRecord) -> StepRecord:
    memo = {name: record.memo[name] for name in ("failed_input", "board", "verdict") if name in record.memo}
    return replace(record, flags=[*record.flags, REUSED], memo=memo)


def reused(player: Player) -> set[str]:
    return {path for path, row in player.rows.items() if REUSED in row["flags"]}


def test_only_the_step_and_what_follows_run_anew() -> None:
    first = a_run(CHAIN, {"a": "A", "b": "B", "c": "C"}, **READS).play()
    again = forked(first, "b", script={"a": "never", "b": "B2", "c": lambda start: f"after {start.input['prompt']}"})
    again.play()
    assert again.paths_started() == ["b", "c"]
    assert again.started[0].input == {"prompt": "A"}
    assert again.run.output == "after B2"
    assert reused(again) == {"start", "a"}


def test_an_output_by_hand_stands_and_only_what_follows_runs() -> None:
    first = a_run(CHAIN, {"a": "A"}, **READS).play()
    again = forked(first, None, {"b": "mine"}).play()
    assert again.paths_started() == ["c"]
    assert again.started[0].input == {"prompt": "mine"}
    assert again.started[0].trust == {"/prompt": "user"}
    assert again.row("b")["flags"] == ["edited"]
    assert forked(first, "b", {"b": "mine"}).play().paths_started() == ["c"]


RUBRIC = {"rule": "ai_rubric", "rubric": "Is it kind?", "model": "demo/writer", "min_score": 0.7}


def test_an_output_by_hand_that_does_not_do_leaves_nothing_of_a_person_on_what_the_step_makes_anew() -> None:
    policy = {"output_schema": {"type": "object"}, "checks": [RUBRIC], "on_error": {"then": "ask_human"}}
    merge = {"kind": "combine", "merge": "synthesize", "agent": "writer", **policy}
    nodes = {"m": merge, "c": {"prompt": "${steps.m.output}"}, "result": RESULT}
    verdict = {"verdicts": [{"score": 0.9, "reason": "So.", "finding": ""}]}
    script = {"m": lambda start: StepSucceeded("m", start.attempt, verdict if start.judging else {"said": "kind"})}
    again = forked(a_run("start >> a, b >> m >> c >> result", script, **nodes).play(), None, {"m": "mine"}).play()
    again.answer("retry")
    again.play()
    assert [start.judging for start in again.started if start.path == "m"] == [False, True]
    assert again.row("m")["flags"] == []
    assert again.started[-1].trust == {"/prompt": "model"}


def test_a_default_in_the_place_of_an_output_by_hand_is_nobodys_edit() -> None:
    default = {"then": "use_default", "default": {"said": "nothing"}}
    policy = {"output_schema": {"type": "object"}, "on_error": default}
    first = a_run(CHAIN, {"b": {"said": "B"}}, **{**READS, "b": {**READS["b"], **policy}}).play()
    again = forked(first, None, {"b": "mine"}).play()
    assert again.row("b")["flags"] == ["degraded"]


def test_an_output_by_hand_waits_for_its_turn_behind_a_step_that_runs_anew() -> None:
    first = a_run(CHAIN, {"a": "A"}, **READS).play()
    again = forked(first, "a", {"b": "mine"})
    again.begin()
    assert list(again.open) == ["a"]
    assert again.play().paths_started() == ["a", "c"]


def test_a_reused_output_never_outlives_an_edit_before_it() -> None:
    first = a_run(CHAIN, **READS).play()
    assert forked(first, "c", {"a": "mine"}).play().paths_started() == ["b", "c"]


def test_parallel_branches_that_do_not_follow_are_kept() -> None:
    first = a_run(
        "start >> a, b >> join >> result", {"a": "A", "b": "B"}, result={"value": "${steps.join.output}"}
    ).play()
    again = forked(first, "b", script={"b": "B2"}).play()
    assert again.paths_started() == ["b"]
    assert again.run.output == {"a": "A", "b": "B2"}


def test_what_had_not_finished_is_simply_run() -> None:
    stops = {"on_error": {"then": "stop_run"}}
    first = a_run("start >> a >> b, c >> join >> result", {"b": Fails(), "a": "A"}, b=stops).play()
    assert first.run.state == "failed"
    again = forked(first, "join", script={}).play()
    assert "a" not in again.paths_started()
    assert "b" in again.paths_started()
    assert again.run.state == "succeeded"


def test_a_failure_that_the_run_went_on_from_stays_one() -> None:
    first = a_run("start >> a >> b, c >> join >> result", {"b": Fails()}).play()
    again = forked(first, "join", script={}).play()
    assert again.paths_started() == []
    assert again.row("join")["meta"]["missing"] == ["b"]


def test_a_route_not_taken_stays_not_taken() -> None:
    route = {"kind": "decide", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"}
    first = a_run("start >> pick; pick:yes >> a >> join; pick:no >> b >> join; join >> c >> result", pick=route).play()
    again = forked(first, "c").play()
    assert again.paths_started() == ["c"]
    assert again.state("b") == "skipped"


def test_a_route_by_hand_takes_the_other_way() -> None:
    route = {"kind": "decide", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"}
    first = a_run("start >> pick; pick:yes >> a >> join; pick:no >> b >> join; join >> c >> result", pick=route).play()
    again = forked(first, None, {"pick": {"chosen": "no"}}).play()
    assert again.paths_started() == ["b", "c"]
    assert again.state("a") == "skipped"


def test_the_loser_of_a_race_does_not_run_for_a_join_that_stays() -> None:
    join = {"kind": "combine", "merge": "first", "wait_for": "first"}
    first = a_run("start >> a, b >> join >> c >> result", join=join)
    first.begin()
    first.finish("b")
    first.play()
    again = forked(first, "c").play()
    assert again.paths_started() == ["c"]
    assert again.state("a") == "cancelled"


def test_a_consent_is_never_carried_over() -> None:
    first = a_run("start >> a >> approve >> send >> b >> result")
    first.play()
    first.answer("approve")
    first.play()
    assert first.run.state == "succeeded"
    kept = forked(first, "b").play()
    assert kept.paths_started() == ["b"]
    assert kept.asked() == []
    again = forked(first, "send").play()
    assert [question["request"] for question in again.asked()] == ["approve!1"]
    assert again.paths_started() == []
    again.answer("approve")
    assert list(again.open) == ["send"]


def test_an_irreversible_step_asks_by_policy_where_nobody_guards_it() -> None:
    first = a_run("start >> send >> result").play()
    first.answer("approve")
    first.play()
    again = forked(first, "send").play()
    assert [question["kind"] for question in again.asked()] == ["approve"]
    assert again.open == {}


DIG = a_graph("dig >> sum", dig={"prompt": "Dig ${topic}."}, sum={"prompt": "${steps.dig.output}"})


def an_each(script: Any, **config: Any) -> Player:
    each = {"kind": "each", "over": "${input.topics}", "as": "topic", "graph": DIG, **config}
    result = {"kind": "output", "value": "${steps.research.output}"}
    return a_run(
        "start >> research >> c >> result", script, input={"topics": ["a", "b", "c"]}, research=each, result=result
    )


def test_one_item_runs_anew_from_its_step() -> None:
    again = forked(an_each({}).play(), "research[1].sum").play()
    assert again.paths_started() == ["research[1].sum", "c"]
    assert again.run.state == "succeeded"
    assert len(again.run.output) == 3


def test_an_item_of_which_nothing_is_kept_runs_alone() -> None:
    again = forked(an_each({"sum": "old"}).play(), "research[1].dig", script={"sum": "new"}).play()
    assert again.paths_started() == ["research[1].dig", "research[1].sum", "c"]
    assert again.run.output == ["old", "new", "old"]


def test_a_failed_container_keeps_its_good_items() -> None:
    first = an_each({"research[1].sum": Fails()}, max_parallel=3).play()
    assert first.run.state == "failed"
    done = [path for path, state in first.states().items() if state == "succeeded" and "[" in path]
    again = forked(first, "c", script={}).play()
    assert again.run.state == "succeeded"
    assert not set(done) & set(again.paths_started())


def test_items_that_begin_again_keep_to_the_limit_also_after_a_crash() -> None:
    first = an_each({"dig": Fails()}, max_parallel=3, on_item_error="omit", require="any").play()
    again = forked(first, "c", script={})
    for path in ("research[0].dig", "research[1].dig", "research[2].dig"):
        assert again.state(path) == "pending"
    again.run.root.steps["research"].node.config["max_parallel"] = 1  # type: ignore[index]
    again.begin()
    assert list(again.open) == ["research[0].dig"]
    again.crash()
    assert list(again.open) == ["research[0].dig"]
    again.play()
    assert again.run.state == "succeeded"


def test_other_failures_of_a_container_that_succeeded_stay_as_they_were() -> None:
    first = an_each({"research[0].dig": Fails()}, on_item_error="omit", require="any").play()
    again = forked(first, "research[2].sum").play()
    assert again.paths_started() == ["research[2].sum", "c"]
    assert again.state("research[0].dig") == "failed"


def test_an_output_inside_an_item_can_be_given_by_hand() -> None:
    again = forked(an_each({}).play(), None, {"research[1].dig": "mine"}).play()
    assert again.paths_started() == ["research[1].sum", "c"]
    assert again.started[0].input == {"prompt": "mine"}


@pytest.mark.parametrize(
    "path", ["nowhere", "research[7].dig", "research[x].dig", "research.dig", "a[0].dig", "", "research[01].dig"]
)
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(NoSuchStep):
        forked(an_each({}).play(), path)


def test_no_output_can_be_given_inside_a_container_that_runs_anew() -> None:
    with pytest.raises(RunsAnew):
        forked(an_each({}).play(), "research", {"research[1].dig": "mine"})


def test_neither_a_step_nor_an_output_means_that_everything_runs() -> None:
    first = a_run(CHAIN, **READS).play()
    again = forked(first, None).play()
    assert again.paths_started() == ["a", "b", "c"]


def test_a_fork_of_a_fork_keeps_what_both_kept() -> None:
    first = a_run(CHAIN, **READS).play()
    again = forked(forked(first, "b").play(), "c").play()
    assert again.paths_started() == ["c"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_fork_of_any_graph_ends_as_its_origin_did(data: st.DataObject) -> None:
    """Random graphs, forked anywhere after any number of steps, with a crash in the middle, say what the first run
    said; nothing of what was kept runs."""
    size = data.draw(st.integers(2, 6))
    names = [f"n{index}" for index in range(size)]
    edges = [
        f"{left} >> {right}"
        for index, left in enumerate(names)
        for right in names[index + 1 :]
        if data.draw(st.booleans())
    ]
    drawing = "; ".join([f"start >> {name}" for name in names] + edges + [f"{name} >> join" for name in names])
    script = {name: (lambda start: f"{start.path}!") for name in names}
    first = a_run(f"{drawing}; join >> result", script, result={"value": "${steps.join.output}"})
    first.begin()
    for _ in range(data.draw(st.integers(0, size))):
        if first.open:
            first.finish(data.draw(st.sampled_from(sorted(first.open))))
    if data.draw(st.booleans()):
        first.play()
    again = forked(first, data.draw(st.sampled_from([*names, "join"])))
    kept = reused(again)
    again.begin()
    if again.open and data.draw(st.booleans()):
        again.finish(sorted(again.open)[0])
        if not again.run.state.is_terminal:
            again.crash()
    again.play()
    assert again.run.state == "succeeded"
    assert again.run.output == first.play().run.output
    assert not kept & set(again.paths_started())
    assert len(again.paths_started()) - len(set(again.paths_started())) <= size  # only what the crash cut off


def test_a_late_answer_of_the_other_run_means_nothing_here() -> None:
    first = a_run(CHAIN, **READS).play()
    again = forked(first, "b")
    again.begin()
    again.tell(StepSucceeded("a", 1, "late"))
    assert again.row("a")["output"] == "a"
