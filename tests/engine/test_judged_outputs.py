"""Whatever step it is, its output may be judged by a model before it counts (engine.md §1 and §3, output checks)."""

import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from runs.engine.decision import Start
from runs.engine.facts import CancelRequested, StepFailed, StepSucceeded
from runs.execution import results
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.playing import Fails, Player, a_run
from tests.engine.test_children import a_child, calling
from tests.engine.test_properties import FINAL, a_random_graph

RUBRIC = {"rule": "ai_rubric", "rubric": "Is it kind?", "model": "demo/writer", "min_score": 0.7}
ITEM = a_graph("dig", dig={"prompt": "${item}"})
ROUND = a_graph("draft", draft={"prompt": "x"})
ROUTES = {"routes": [{"port": "good", "when": "true"}], "otherwise": "bad"}
# A step of each kind, and the output that its judges see.
KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "start": ({"kind": "input"}, {"x": 1}),
    "action": ({"kind": "tool", "tool": "crm.log@1", "args": {"note": "hi"}}, "a"),
    "transform": ({"kind": "transform", "set": {"y": "1 + 1"}}, {"y": 2}),
    "check": ({"kind": "check", "value": "v", "rules": [{"rule": "length", "max": 5}]}, "v"),
    "board": ({"kind": "board", "op": "write", "key": "k", "value": "v"}, "v"),
    "for each": ({"kind": "each", "over": ["x", "y"], "graph": ITEM}, ["a[0].dig", "a[1].dig"]),
    "repeat": ({"kind": "repeat", "max_rounds": 1, "graph": ROUND}, "a#1.draft"),
    "team": ({"kind": "team", "task": "Win.", "members": ["ann"], "stop": {"max_turns": 1}}, "a~1.speak_1"),
    "wait": ({"kind": "wait", "for": "PT1M"}, None),
}


def says(score: float) -> dict[str, Any]:
    finding = "" if score >= 0.7 else f"It scored {score:g}."
    return {"verdicts": [{"score": score, "reason": "So.", "finding": finding}]}


def when_judged(said: Any, otherwise: Any = "a") -> Any:
    """Return a script: what the judges say, one after the other, and what the step itself comes to."""
    left = list(said) if isinstance(said, list) else [said]

    def carry_out(start: Start) -> Any:
        came = (left.pop(0) if len(left) > 1 else left[0]) if start.judging else otherwise
        if isinstance(came, StepSucceeded):
            return replace(came, path=start.path, attempt=start.attempt)
        if isinstance(came, Fails):
            return StepFailed(start.path, start.attempt, came.error)
        return StepSucceeded(start.path, start.attempt, came)

    return carry_out


def a_judged_run(step: dict[str, Any], said: Any, otherwise: Any = "a", **more: Any) -> Player:
    port = ":time" if step["kind"] == "wait" else ""
    script = {"a": when_judged(said, otherwise), **more.pop("script", {})}
    drawing = "a >> result" if step["kind"] == "input" else f"start >> a; a{port} >> result"
    result = {"kind": "output", "value": "${steps.a.output}"}
    return a_run(drawing, script, a={**step, "checks": [RUBRIC]}, result=result, input={"x": 1}, **more)


@pytest.mark.parametrize("crashes", [0, 1])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_output_of_every_kind_is_judged(kind: str, crashes: int) -> None:
    step, output = KINDS[kind]
    player, left = a_judged_run(step, says(0.9)), list(range(crashes))

    def die_while_judged(player: Player) -> None:
        if left and any(start.judging for start in player.open.values()):
            left.pop()
            player.crash()
            assert [start.judging for start in player.open.values()] == [True]

    player.play(each_time=die_while_judged)
    assert not left
    judging = next(start for start in player.started if start.judging)
    assert judging.input["value"] == output
    assert judging.input["rubrics"][0]["rubric"] == "Is it kind?"
    assert player.run.state == "succeeded", player.run.error
    assert player.run.output == output
    assert player.row("a")["meta"]["scores"] == [{"score": 0.9, "reason": "So."}]
    assert "judged" not in player.row("a")["memo"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_low_score_fails_the_step_and_its_output_counts_for_nothing(kind: str) -> None:
    player = a_judged_run(KINDS[kind][0], says(0.2)).play()
    assert (player.run.state, player.run.error["code"]) == ("failed", "judged_too_low")
    assert player.run.error["message"].endswith("It scored 0.2.")
    assert (player.row("a")["output"], player.row("a")["state"]) == (None, "failed")


@pytest.mark.parametrize("kind", ["route", "merge"])
def test_a_low_score_is_sent_back_to_the_model_that_made_the_output(kind: str) -> None:
    if kind == "route":
        step = {"kind": "decide", "mode": "ai", "agent": "writer", "value": "x", **ROUTES, "checks": [RUBRIC]}
        drawing, made = "start >> a; a:good >> result; a:bad >> bad", {"chosen": "good", "reason": "r"}
    else:
        step = {"kind": "combine", "merge": "synthesize", "agent": "writer", "checks": [RUBRIC]}
        drawing, made = "start >> b, c >> a >> result", "both"
    bad = {"bad": {"kind": "output", "value": "bad"}} if kind == "route" else {}
    player = a_run(drawing, {"a": when_judged([says(0.1), says(0.9)], made)}, a=step, **bad).play()
    assert player.run.state == "succeeded", player.run.error
    assert [start.judging for start in player.started if start.path == "a"] == [False, True, False, True]
    (again,) = [start for start in player.started if start.path == "a" and start.repair and not start.judging]
    assert again.repair["findings"] == ["It scored 0.1."]


def test_a_judge_that_fails_is_asked_again_and_the_action_is_not_made_twice() -> None:
    send = {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}}
    player = a_judged_run(send, [Fails("transient"), Fails("invalid_output"), says(1)]).play()
    player.answer("approve")
    player.play()
    assert [start.judging for start in player.started] == [False, True, True, True]
    assert player.run.state == "succeeded"


def test_a_retry_that_a_person_orders_asks_the_judge_alone() -> None:
    send = {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}}
    policy = {"on_error": {"retry": {"max_attempts": 1}, "then": "ask_human"}}
    player = a_judged_run({**send, **policy}, [Fails("transient"), says(1)]).play()
    player.answer("approve")
    player.play()
    assert player.row("a")["wait_reason"] == "failure"
    player.crash(crashed=False)
    player.answer("retry")
    player.play()
    assert [start.judging for start in player.started] == [False, True, True]
    assert player.run.state == "succeeded"


def test_what_a_person_gives_in_the_place_of_a_poor_output_is_not_judged() -> None:
    transform = {"kind": "transform", "set": {"y": "1"}, "on_error": {"then": "ask_human"}}
    player = a_judged_run(transform, says(0)).play()
    player.answer("use", {"y": 5})
    assert player.run.output == {"y": 5}


ROUTE = {"kind": "decide", "mode": "ai", "agent": "writer", "value": "x", **ROUTES}
MERGE = {"kind": "combine", "agent": "writer", "prompt": "Be brief."}
JOIN = "start >> b, c >> a >> result"
# A step of each kind whose results may be kept, and what its attempt brings.
MAY_BE_KEPT: dict[str, tuple[str, dict[str, Any], Any]] = {
    "agent": ("start >> a >> result", {"prompt": "x"}, "a"),
    "action": ("start >> a >> result", {"kind": "tool", "tool": "crm.log@1", "args": {"note": "hi"}}, "a"),
    "route": ("start >> a; a:good >> result; a:bad >> bad", ROUTE, {"chosen": "good", "reason": "r"}),
    "merge": (JOIN, {**MERGE, "merge": "synthesize"}, "both"),
    "best": (JOIN, {**MERGE, "merge": "best_of"}, {"best": ["b"], "reason": "r"}),
}


def a_kept_run(kind: str, flags: tuple[str, ...] = (), said: Any = None, **more: Any) -> Player:
    """Return a run of a judged step `a` whose results are kept; with the flag `cached` its result was kept before."""
    drawing, step, made = MAY_BE_KEPT[kind]
    judged = when_judged(said or says(0), StepSucceeded("a", 1, made, flags=flags))
    cache = {"mode": "run", "key": "v7"}
    bad = {"bad": {"kind": "output", "value": "bad"}} if kind == "route" else {}
    return a_run(drawing, {"a": judged}, a={**step, "checks": [RUBRIC], "cache": cache, **more}, **bad)


@pytest.mark.parametrize("kind", list(MAY_BE_KEPT))
def test_a_kept_result_was_judged_when_it_was_new(kind: str) -> None:
    player = a_kept_run(kind, ("cached",)).play()
    assert player.run.state == "succeeded"
    assert not any(start.judging for start in player.started)
    start = next(start for start in player.started if start.path == "a")
    depends_on = str((start.input, start.cache_words))
    assert "Is it kind?" in depends_on, "another rubric is another result"
    assert "v7" in depends_on, "another key of the author's is another result"


@pytest.mark.parametrize("kind", sorted(set(MAY_BE_KEPT) - {"agent"}))
@pytest.mark.parametrize("score", [0.2, 0.9])
def test_what_the_judges_refused_is_not_kept(kind: str, score: float) -> None:
    policy = {"repair": {"max_attempts": 0}, "then": "use_default", "default": "d"}
    player = a_kept_run(kind, said=says(score), on_error=policy).play()
    record = player.run.steps["a"]
    assert (record.state, record.attempt) == ("succeeded", 1)
    brought = results.Brought("a", 1, "key", MAY_BE_KEPT[kind][2], {}, (), 60.0)
    assert results.is_the_end(record, brought) is (score > 0.5)


def test_a_result_that_ends_the_run_ends_it_when_it_was_judged() -> None:
    nodes = {"quick": {"kind": "output", "value": "v", "ends_run": True, "checks": [RUBRIC]}}
    player = a_run("start >> quick; start >> b >> result", {"quick": when_judged(says(1))}, **nodes)
    player.begin()
    assert player.run.state == "running"
    player.finish("quick")
    assert (player.run.state, player.run.output, player.state("b")) == ("succeeded", {"quick": "v"}, "cancelled")


def test_a_child_s_output_is_judged_in_its_parent() -> None:
    call = calling(checks=[RUBRIC])
    parent = a_document(a_graph("start >> a >> result", a=call, result={"value": "${steps.a.output}"}), id="parent")
    family = Family(parent, {"child": a_child()}, {"dig": "deep", "a": when_judged([Fails("transient"), says(1)])})
    family.play()
    assert (family.root.run.state, family.root.run.output) == ("succeeded", "deep")
    assert len(family.children()) == 1


def test_an_answer_of_a_person_is_judged_like_any_output() -> None:
    ask = {"kind": "human", "mode": "answer"}
    player = a_run("start >> a >> result", {"a": when_judged(says(0.9))}, a={**ask, "checks": [RUBRIC]}).play()
    player.answer("answer", "hello")
    assert player.open["a"].input["value"] == "hello"
    assert player.play().run.state == "succeeded"


def test_items_that_are_not_needed_any_more_are_stopped_before_the_judges_are_asked() -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM, "require": "any", "stop_early": True}
    player = a_judged_run(each, says(1))
    player.begin()
    player.finish("a[1].dig")
    assert player.cancelled == ["a[0].dig"]
    assert list(player.open) == ["a"]
    player.crash(crashed=False)
    assert player.play().run.output == ["a[1].dig"]


@pytest.mark.parametrize("crashes", ["never", "while judged", "while asked"])
@pytest.mark.parametrize("spread", [False, True])
def test_a_retry_runs_the_items_that_were_cut_off_once_more_after_a_restart_too(crashes: str, spread: bool) -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM, "require": "any", "wait_timeout": "PT5S"}
    policy = {"checks": [RUBRIC], "spread": spread, "on_error": {"then": "ask_human"}}
    parent = a_document(a_graph("start >> a >> result", a={**each, **policy}, result={"value": "${steps.a.output}"}))
    family = Family(parent, {}, {"dig": "dug", "a": when_judged([says(0), says(1)])})
    family.root.begin()
    if spread:
        family.deliver()
        family.deliver()
        family.children()[0].finish("dig")
        family.deliver()
    else:
        family.root.finish("a[0].dig")
    family.root.wait(6)
    if crashes == "while judged":
        family.root.crash(crashed=False)
    family.root.finish("a")
    assert family.root.row("a")["wait_reason"] == "failure"
    if crashes == "while asked":
        family.root.crash(crashed=False)
    family.root.answer("retry")
    family.play()
    assert (family.root.run.state, family.root.run.output) == ("succeeded", ["dug", "dug"])


@pytest.mark.parametrize("crashes", [False, True])
def test_a_retry_of_what_was_decided_early_asks_its_judges_alone(crashes: bool) -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM, "require": "any", "stop_early": True}
    player = a_judged_run({**each, "on_error": {"then": "ask_human"}}, [says(0), says(1)])
    player.begin()
    player.finish("a[1].dig")
    player.finish("a")
    if crashes:
        player.crash(crashed=False)
    player.answer("retry")
    player.play()
    assert player.paths_started() == ["a[0].dig", "a[1].dig", "a", "a"]
    assert [item["status"] for item in player.row("a")["meta"]["items"]] == ["cancelled", "succeeded"]


def test_a_for_each_that_is_run_again_has_as_long_as_before() -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM, "require": {"at_least": 2}, "wait_timeout": "PT5S"}
    player = a_judged_run({**each, "on_error": {"then": "ask_human"}}, says(1), script={"a[0].dig": Fails()})
    player.begin()
    player.finish("a[0].dig")
    player.answer("retry")
    player.finish("a[1].dig") if "a[1].dig" in player.open else None
    player.wait(6)
    assert player.row("a")["error"]["code"] == "wait_timeout"


def test_a_run_that_is_cancelled_while_a_judge_is_asked_keeps_the_output_unused() -> None:
    player = a_judged_run(KINDS["transform"][0], says(1))
    player.begin()
    player.tell(CancelRequested("alice"))
    player.tell(StepSucceeded("a", 1, says(1)))
    assert (player.run.state, player.row("a")["output"]) == ("cancelled", {"y": 2})


def test_judges_outside_the_version_are_the_authors_error() -> None:
    nobody = {**RUBRIC, "agent": "nobody"}
    document = a_document(a_graph("start >> a >> result", a={**KINDS["transform"][0], "checks": [nobody]}))
    from pipelines.graph.lock import Lock

    player = Player(document, lock=Lock())
    player.play()
    assert player.run.error["code"] == "unknown_agent"


class Judged(Player):
    """A run whose judges like two outputs in three, and in which a worker dies now and then."""

    def outcome(self, start: Start) -> Any:
        if not start.judging:
            return super().outcome(start)
        score = 0.2 if len(start.path) % 3 == 0 else 0.9
        return StepSucceeded(start.path, start.attempt, says(score))


@pytest.mark.parametrize("seed", range(150))
def test_with_judges_everywhere_nothing_gets_stuck_and_the_ends_do_not_depend_on_order(seed: int) -> None:
    rng = random.Random(seed)
    graph = a_random_graph(rng, races=False, stops=False)
    judge(graph)
    document = a_document(graph)
    ends = []
    for order in range(3):
        player = Judged(document)
        dice = random.Random(f"{seed}/{order}")
        while not player.run.state.is_terminal:
            player.play(dice.choice, partial(now_and_then, dice))
            for question in player.asked():
                decision = "answer" if question["kind"] == "answer" else "skip"
                player.answer(decision, "x", path=question["request"])
        ends.append(player.states())
        assert set(player.states().values()) <= FINAL
        assert not any("judged" in row["memo"] for row in player.rows.values())
    assert ends[0] == ends[1] == ends[2]


def now_and_then(dice: random.Random, player: Player) -> None:
    if dice.random() < 0.05:
        player.crash(crashed=False)


def judge(graph: dict[str, Any]) -> None:
    for node in graph["nodes"].values():
        node["checks"] = [RUBRIC]
        if "graph" in node:
            judge(node["graph"])
