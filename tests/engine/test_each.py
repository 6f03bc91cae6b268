"""For each: paths, order, requirements, what failed items come to."""

from typing import Any

import pytest

from runs.engine.facts import CancelRequested, PauseRequested, ResumeRequested, StepSucceeded
from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run

DIG = a_graph("dig", dig={"prompt": "Dig ${topic}."})


def an_each(*items: Any, script: Any = None, graph: Any = None, **config: Any) -> Player:
    each = {"kind": "each", "over": "${input.topics}", "as": "topic", "graph": graph or DIG, **config}
    return a_run("start >> research >> result", script, input={"topics": list(items)}, research=each, result=_RESULT)


_RESULT = {"kind": "output", "value": "${steps.research.output}"}


def test_items_run_a_bounded_number_at_a_time_and_come_out_in_order() -> None:
    player = an_each("a", "b", "c", max_parallel=2, script={"dig": lambda start: start.input["prompt"]})
    player.begin()
    assert sorted(player.open) == ["research[0].dig", "research[1].dig"]
    player.finish("research[1].dig")
    assert sorted(player.open) == ["research[0].dig", "research[2].dig"]
    player.finish("research[2].dig")
    player.finish("research[0].dig")
    assert player.run.output == ["Dig a.", "Dig b.", "Dig c."]
    items = player.row("research")["meta"]["items"]
    assert items[1] == {"item": "b", "status": "succeeded", "value": "Dig b.", "error": None}


def test_a_scope_appears_only_when_its_item_begins() -> None:
    player = an_each("a", "b", max_parallel=1)
    player.begin()
    assert "research[1].dig" not in player.rows
    player.play()
    assert set(player.rows) == {"start", "research", "research[0].dig", "research[1].dig", "result"}
    assert set(player.run.steps) == {"start", "research", "result"}


def test_no_items_give_an_empty_list_unless_some_are_needed() -> None:
    assert an_each().play().run.output == []
    player = an_each(require="any").play()
    assert player.run.error["code"] == "not_enough_items"


@pytest.mark.parametrize(
    ("over", "code"), [("text", "not_a_list"), ({"a": 1}, "not_a_list"), ([1] * 101, "too_many_items")]
)
def test_only_a_list_of_fit_size_is_gone_through(over: Any, code: str) -> None:
    each = {"kind": "each", "over": "${input.topics}", "graph": DIG}
    each["graph"] = a_graph("dig")
    player = a_run("start >> research >> result", input={"topics": over}, research=each).play()
    assert player.run.error["code"] == code


def test_more_steps_than_a_run_may_have_are_refused_before_the_first() -> None:
    graph = a_graph("dig >> two >> three", dig={"prompt": "Dig ${topic}."})
    player = an_each(*range(4_000), max_items=5_000, graph=graph).play()
    assert player.run.error["code"] == "too_many_steps"
    assert not player.started


def test_what_open_containers_are_still_to_bring_counts() -> None:
    each = {"kind": "each", "over": list(range(5_000)), "max_items": 5_000, "graph": a_graph("dig")}
    player = a_run("start >> a, b, c >> last >> result", a=each, b=each, c=each).play()
    assert player.run.error["code"] == "too_many_steps"
    assert not player.started


def test_what_a_container_did_not_bring_is_given_back() -> None:
    each = {"kind": "each", "over": list(range(4_000)), "max_items": 5_000, "max_parallel": 1, "graph": a_graph("dig")}
    early = {**each, "require": {"at_least": 1}, "stop_early": True}
    player = a_run("start >> a >> b >> c >> result", a=early, b=early, c=early).play()
    assert player.run.state == "succeeded", player.run.error
    assert player.run.promised == 0


@pytest.mark.parametrize("crashes", [False, True])
def test_items_and_rounds_within_each_other_bring_what_they_promised(*, crashes: bool) -> None:
    inner = {"kind": "repeat", "until": "round.n >= 2", "graph": a_graph("dig >> two")}
    each = {"kind": "each", "over": [1, 2, 3], "max_parallel": 2, "graph": a_graph("loop", loop=inner)}
    player = a_run("start >> all >> result", all=each)

    def look(now: Any) -> None:
        if crashes and not now.run.state.is_terminal:
            now.crash(crashed=False)
        assert 0 <= now.run.promised <= 3 + 3 + 2 * 2
        assert now.run.promised == sum(one.promised for one in now.run.containers.values()) + sum(
            name not in now.run.root.steps for name in now.run.root.graph.nodes
        )

    player.play(each_time=look)
    assert player.run.state == "succeeded"
    assert player.run.promised == 0
    assert player.run.step_count == 3 + 3 + 3 * 2 * 2


def test_a_failed_item_stops_a_container_that_needs_all() -> None:
    player = an_each("a", "b", "c", "d", max_parallel=2, script={"research[1].dig": Fails()})
    player.begin()
    player.finish("research[1].dig")
    assert player.run.state == "failed"
    assert player.run.error["code"] == "not_enough_items"
    assert "Item 1: It is broken." in player.run.error["message"]
    assert player.state("research[0].dig") == "cancelled"
    assert "research[2].dig" not in player.rows


@pytest.mark.parametrize(
    ("on_item_error", "expected"),
    [("omit", ["A", "C"]), ("null", ["A", None, "C"]), ("default", ["A", "none", "C"])],
)
def test_failed_items_are_left_out_or_replaced(on_item_error: str, expected: list[Any]) -> None:
    script = {"research[0].dig": "A", "research[1].dig": Fails(), "research[2].dig": "C"}
    player = an_each("a", "b", "c", script=script, on_item_error=on_item_error, default="none").play()
    assert player.run.output == expected
    items = player.row("research")["meta"]["items"]
    assert (items[1]["status"], items[1]["error"]["code"]) == ("failed", "broken")


@pytest.mark.parametrize(
    ("require", "failing", "state"),
    [
        ({"at_least": 2}, 1, "succeeded"),
        ({"at_least": 2}, 2, "failed"),
        ({"at_least": "60%"}, 1, "succeeded"),
        ({"at_least": "67%"}, 1, "failed"),
        ("any", 2, "succeeded"),
        ("any", 3, "failed"),
    ],
)
def test_a_container_needs_as_many_items_as_it_says(require: Any, failing: int, state: str) -> None:
    script = {f"research[{index}].dig": Fails() for index in range(failing)}
    assert an_each("a", "b", "c", script=script, require=require).play().run.state == state


def test_enough_items_end_the_container_early_when_asked_to() -> None:
    player = an_each("a", "b", "c", "d", require={"at_least": 2}, stop_early=True)
    player.begin()
    player.finish("research[2].dig")
    player.finish("research[0].dig")
    assert player.run.output == ["research[0].dig", "research[2].dig"]
    assert sorted(player.cancelled) == ["research[1].dig", "research[3].dig"]
    statuses = [item["status"] for item in player.row("research")["meta"]["items"]]
    assert statuses == ["succeeded", "cancelled", "succeeded", "cancelled"]


def test_an_item_that_routing_empties_is_filtered_out() -> None:
    keep = {"kind": "decide", "routes": [{"port": "keep", "when": "topic > 1"}], "otherwise": "drop"}
    graph = a_graph("keep; keep:keep >> dig", keep=keep, dig={"prompt": "Dig ${topic}."})
    player = an_each(1, 2, 3, graph=graph).play()
    assert player.run.output == ["research[1].dig", "research[2].dig"]
    assert player.row("research")["meta"]["items"][0]["status"] == "skipped"


def test_result_says_what_an_item_comes_to() -> None:
    graph = a_graph("dig >> check", dig={"prompt": "Dig ${topic}."})
    player = an_each(
        "a", "b", graph=graph, result={"of": "${topic}", "nr": "${item_index}", "x": "${steps.dig.output}"}
    )
    player.play()
    assert player.run.output[1] == {"of": "b", "nr": 1, "x": "research[1].dig"}


def test_containers_nest_and_inner_steps_see_what_is_around_them() -> None:
    inner = {"kind": "each", "over": "${group.members}", "as": "who", "graph": a_graph("hail", hail=_HAIL)}
    graph = a_graph("lead >> greet", lead={"prompt": "Lead."}, greet=inner)
    each = {"kind": "each", "over": "${input.groups}", "as": "group", "graph": graph}
    groups = [{"name": "x", "members": ["Ann", "Bo"]}, {"name": "y", "members": ["Cy"]}]
    player = a_run(
        "start >> boss >> all >> result",
        {"hail": lambda start: start.input["prompt"], "boss": "B", "lead": "L"},
        input={"groups": groups},
        all=each,
        result={"kind": "output", "value": "${steps.all.output}"},
    ).play()
    assert "all[0].greet[1].hail" in player.rows
    assert player.run.output == [["B L x Ann", "B L x Bo"], ["B L y Cy"]]
    assert set(player.run.steps) == {"start", "boss", "all", "result"}


_HAIL = {"prompt": "${steps.boss.output} ${steps.lead.output} ${group.name} ${who}"}


def test_one_item_s_failure_stays_its_own_but_an_order_to_stop_does_not() -> None:
    script = {"research[0].dig": Fails()}
    assert an_each("a", "b", script=script, on_item_error="omit").play().run.state == "succeeded"
    graph = a_graph("dig", dig={"prompt": "Dig ${topic}.", "on_error": {"then": "stop_run"}})
    assert an_each("a", "b", script=script, on_item_error="omit", graph=graph).play().run.state == "failed"


def test_an_item_s_other_steps_are_cancelled_when_it_fails() -> None:
    graph = a_graph("dig, look >> sum", dig={"prompt": "Dig ${topic}."}, look={})
    player = an_each("a", "b", graph=graph, on_item_error="omit", script={"research[0].dig": Fails()})
    player.begin()
    player.finish("research[0].dig")
    assert player.state("research[0].look") == player.state("research[0].sum") == "cancelled"
    assert player.cancelled == ["research[0].look"]
    assert player.play().run.output == ["research[1].sum"]


def test_what_comes_late_from_a_finished_item_changes_nothing() -> None:
    player = an_each("a", "b").play()
    decision = player.tell(StepSucceeded("research[0].dig", 1, "again"))
    assert not decision.events
    assert not decision.changed


def test_a_person_may_have_only_the_failed_items_run_again() -> None:
    script = {"research[1].dig": Fails()}
    player = an_each("a", "b", "c", script=script, on_error={"then": "ask_human"}).play()
    assert player.asked()[0]["request"] == "research!1"
    player.script = {}
    player.answer("retry")
    assert [(start.path, start.attempt, start.generation) for start in player.started[3:]] == [
        ("research[1].dig", 2, 1)
    ]
    player.crash()
    assert player.play().run.output == ["research[0].dig", "research[1].dig", "research[2].dig"]


def test_items_that_still_run_while_a_person_is_asked_are_kept() -> None:
    player = an_each("a", "b", script={"research[0].dig": Fails()}, on_error={"then": "ask_human"})
    player.begin()
    player.finish("research[0].dig")
    player.finish("research[1].dig")
    player.crash()
    player.script = {}
    player.answer("retry")
    assert player.play().run.output == ["research[0].dig", "research[1].dig"]
    assert player.paths_started().count("research[1].dig") == 1


def test_a_paused_run_begins_no_item() -> None:
    player = an_each("a", "b", "c", max_parallel=1)
    player.begin()
    player.tell(PauseRequested())
    player.finish("research[0].dig")
    assert not player.open
    player.crash()
    player.tell(ResumeRequested())
    assert sorted(player.open) == ["research[1].dig"]
    assert len(player.play().run.output) == 3


def test_a_cancelled_container_ends_when_its_last_step_does() -> None:
    player = an_each("a", "b", "c", max_parallel=2)
    player.begin()
    player.tell(CancelRequested())
    assert player.run.state == "cancelling"
    assert sorted(player.cancelled) == ["research[0].dig", "research[1].dig"]
    player.tell(StepSucceeded("research[0].dig", 1, "late"))
    player.tell(StepSucceeded("research[1].dig", 1, "late"))
    assert player.run.state == "cancelled"
    assert player.state("research") == player.state("result") == "cancelled"
    assert player.row("research[0].dig")["output"] == "late"


def test_a_container_s_time_limit_takes_what_is_there() -> None:
    player = an_each("a", "b", require={"at_least": 1}, wait_timeout="PT1M")
    player.begin()
    player.finish("research[1].dig")
    player.wait(60)
    assert player.run.output == ["research[1].dig"]
    late = an_each("a", "b", wait_timeout="PT1M")
    late.begin()
    late.crash()
    late.wait(60)
    assert late.run.error["code"] == "wait_timeout"
