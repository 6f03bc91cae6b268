"""Several instances of the same work, and loops."""

from typing import Any

import pytest

from tests.engine.building import a_graph
from tests.engine.playing import Fails, Player, a_run

DIG = a_graph("dig", dig={"prompt": "Dig ${item}."})


def instances(
    over: Any, script: Any = None, *, drawing: str = "start >> all >> after >> result", **more: Any
) -> Player:
    given = more.pop("input", {})
    steps = more.pop("steps", {})
    each = {"kind": "each", "over": over, "max_parallel": 10, "graph": DIG, **more}
    return a_run(drawing, script, input=given, all=each, **steps)


def test_multiple_instances_with_design_time_knowledge() -> None:
    """As many as the author wrote down, all at once, and one step after all of them."""
    player = instances(["a", "b", "c"])
    player.begin()
    assert sorted(player.open) == ["all[0].dig", "all[1].dig", "all[2].dig"]
    for path in ("all[2].dig", "all[0].dig"):
        player.finish(path)
    assert "after" not in player.open
    player.finish("all[1].dig")
    assert list(player.open) == ["after"]
    assert player.row("all")["output"] == ["all[0].dig", "all[1].dig", "all[2].dig"]


@pytest.mark.parametrize("found", [[], ["x"], list("abcdefg")])
def test_multiple_instances_with_run_time_knowledge(found: list[str]) -> None:
    """As many as an earlier step found."""
    drawing = "start >> find >> all >> after >> result"
    player = instances("${steps.find.output}", {"find": lambda start: found}, drawing=drawing)
    player.begin()
    player.finish("find")
    assert len(player.open) == (len(found) or 1)
    player.play()
    assert len(player.row("all")["output"]) == len(found)
    assert player.paths_started().count("after") == 1


def test_cancel_multiple_instance_activity() -> None:
    """All instances are stopped together, those that had not begun too; what others need goes on."""
    race = {"kind": "combine", "wait_for": "first"}
    drawing = "start >> all >> join; start >> quick >> join >> result; start >> log"
    player = instances(list(range(20)), drawing=drawing, max_parallel=3, steps={"join": race})
    player.begin()
    player.finish("all[0].dig")
    player.finish("quick")
    assert player.state("all") == "cancelled"
    assert sorted(player.cancelled) == ["all[1].dig", "all[2].dig", "all[3].dig"]
    assert not any(path.startswith("all[") for path in player.open)
    player.play()
    assert "all[4].dig" not in player.rows
    assert (player.run.state, player.state("log")) == ("succeeded", "succeeded")


def test_complete_multiple_instance_activity() -> None:
    """Once there is enough, the rest is withdrawn and the run goes on with what there is."""
    player = instances(list("abcde"), require="any", stop_early=True)
    player.begin()
    player.finish("all[3].dig")
    assert player.state("all") == "succeeded"
    assert player.row("all")["output"] == ["all[3].dig"]
    assert list(player.open) == ["after"]
    statuses = [item["status"] for item in player.row("all")["meta"]["items"]]
    assert statuses == ["cancelled"] * 3 + ["succeeded", "cancelled"]
    assert sorted(player.cancelled) == [f"all[{index}].dig" for index in (0, 1, 2, 4)]
    assert player.play().run.state == "succeeded"


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_static_partial_join_for_multiple_instances(failing: int) -> None:
    """A stated number of instances is enough: what the others come to does not matter, but each is carried out."""
    script = {f"all[{index}].dig": Fails() for index in range(failing)}
    player = instances(list("abcd"), script, require={"at_least": 2}, on_item_error="omit").play()
    assert player.run.state == "succeeded"
    assert len(player.row("all")["output"]) == 4 - failing
    assert player.paths_started().count("after") == 1
    short = {f"all[{index}].dig": Fails() for index in range(3)}
    assert instances(list("abcd"), short, require={"at_least": 2}).play().run.error["code"] == "not_enough_items"


def test_cancelling_partial_join_for_multiple_instances() -> None:
    """At the stated number the others are stopped, and those that had not begun never begin."""
    player = instances(list("abcdef"), require={"at_least": 2}, stop_early=True, max_parallel=3)
    player.begin()
    for path in ("all[1].dig", "all[0].dig"):
        player.finish(path)
    assert list(player.open) == ["after"]
    assert sorted(player.cancelled) == ["all[2].dig", "all[3].dig"]
    assert "all[4].dig" not in player.rows
    assert player.row("all")["output"] == ["all[0].dig", "all[1].dig"]


def test_structured_loop() -> None:
    """A part of the graph runs again until its condition holds, at most so often."""
    review = a_graph("draft >> review", draft={"prompt": "Draft."}, review={"prompt": "Review."})
    loop = {"kind": "repeat", "until": "steps.review.output == 'good'", "max_rounds": 5, "graph": review}
    script = {"loop#1.review": "bad", "loop#2.review": "bad", "loop#3.review": "good"}
    player = a_run("start >> loop >> result", script, loop={**loop, "result": "${steps.draft.output}"}).play()
    assert player.paths_started() == [f"loop#{n}.{name}" for n in (1, 2, 3) for name in ("draft", "review")]
    assert player.row("loop")["output"] == "loop#3.draft"
    never = a_run("start >> loop >> result", {"review": "bad"}, loop={**loop, "result": "${round.n}"}).play()
    assert never.row("loop")["output"] == 5
