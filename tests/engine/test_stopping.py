"""Somebody stops a step, an item or a round, and the rest goes on; joins, containers and Results cancel regions."""

from typing import Any

from runs.engine.facts import StepSucceeded, StopRequested
from tests.engine.playing import Player, a_run
from tests.engine.teams import a_team


def each_of(**more: Any) -> dict[str, Any]:
    inner = {"nodes": {"a": {"kind": "agent", "agent": "writer@1", "prompt": "x"}}, "edges": []}
    return {"kind": "each", "over": [1, 2, 3], "graph": inner, **more}


def stop(player: Player, path: str) -> Any:
    return player.tell(StopRequested(path, "alice@example.com", "Wrong one."))


def test_a_stopped_step_is_cancelled_and_what_follows_it_is_skipped() -> None:
    player = a_run("start >> a >> b >> join; start >> c >> join >> result")
    player.begin()
    decision = stop(player, "a")
    assert decision.cancels == ["a"]
    assert player.state("b") == "skipped"
    assert player.row("a")["meta"]["message"] == "alice@example.com stopped it: Wrong one."
    assert not player.tell(StepSucceeded("a", 1, "too late")).events
    assert player.play().run.state == "succeeded"


def test_a_step_that_has_not_begun_or_waits_for_a_person_can_be_stopped() -> None:
    player = a_run("start >> a >> b >> join; start >> approve >> send >> join >> result")
    player.begin()
    stop(player, "b")
    stop(player, "approve")
    assert not player.asked()
    player.finish("a")
    assert (player.run.state, player.run.reason) == ("succeeded", "no_result")


def test_a_stopped_item_counts_as_failed_for_its_container() -> None:
    player = a_run("start >> each >> result", each=each_of(on_item_error="omit"))
    player.begin()
    decision = stop(player, "each[1]")
    assert decision.cancels == ["each[1].a"]
    player.crash()
    player.play()
    assert player.row("each")["output"] == ["each[0].a", "each[2].a"]
    item = player.row("each")["meta"]["items"][1]
    assert (item["status"], item["error"]["code"]) == ("failed", "stopped_with_all")


def test_a_container_that_needs_every_item_fails_when_one_is_stopped() -> None:
    player = a_run("start >> each >> result", each=each_of())
    player.begin()
    stop(player, "each[0]")
    assert player.run.state == "failed"
    assert player.state("each[2].a") == "cancelled"


def test_a_stopped_round_fails_its_repeat_and_a_stopped_container_ends_all_in_it() -> None:
    inner = {"nodes": {"a": {"kind": "agent", "agent": "writer@1", "prompt": "x"}}, "edges": []}
    loop = {"kind": "repeat", "graph": inner, "on_error": {"then": "skip"}}
    player = a_run("start >> loop, each, c >> join >> result", loop=loop, each=each_of())
    player.begin()
    stop(player, "loop#1")
    assert player.row("loop")["error"]["code"] == "round_failed"
    decision = stop(player, "each")
    assert sorted(decision.cancels) == ["each[0].a", "each[1].a", "each[2].a"]
    assert player.play().run.state == "succeeded"


def test_what_has_ended_or_is_not_there_is_left_alone() -> None:
    player = a_run("start >> a >> result")
    player.begin()
    for path in ("start", "nobody", "a[0]", "a.b", "", "."):
        assert not stop(player, path).events
    player.play()
    assert not stop(player, "a").events


def test_a_result_that_ends_the_run_cancels_whatever_else_goes_on() -> None:
    player = a_run(
        "start >> quick >> early; start >> each >> late; start >> approve >> send",
        early={"kind": "output", "value": "first", "ends_run": True},
        late={"kind": "output", "value": "later"},
        each=each_of(),
    )
    player.begin()
    decision = player.finish("quick")
    assert player.run.state == "succeeded"
    assert player.run.output == {"early": "first"}
    assert sorted(decision.cancels) == ["each[0].a", "each[1].a", "each[2].a"]
    assert not player.asked()


def test_enough_items_cancel_the_rest_and_no_new_one_begins() -> None:
    each = each_of(over=list(range(9)), require={"at_least": 2}, stop_early=True, on_item_error="omit", max_parallel=4)
    player = a_run("start >> each >> result", each=each)
    player.begin()
    player.finish("each[1].a")
    decision = player.finish("each[3].a")
    assert player.state("each") == "succeeded"
    assert sorted(decision.cancels) == ["each[0].a", "each[2].a", "each[4].a"]
    assert player.row("each")["output"] == ["each[1].a", "each[3].a"]
    assert [item["status"] for item in player.row("each")["meta"]["items"]][:4] == [
        "cancelled",
        "succeeded",
        "cancelled",
        "succeeded",
    ]
    assert not [path for path in player.states() if path.startswith("each[6]")]


def test_a_join_of_k_cancels_the_branches_that_lost_and_a_timeout_those_that_are_late() -> None:
    k = a_run("start >> a, b, c >> join >> result", join={"wait_for": 2})
    k.begin()
    k.finish("c")
    assert k.finish("a").cancels == ["b"]
    assert k.row("join")["output"] == {"a": "a", "c": "c"}
    late = a_run("start >> a, b >> join >> result", join={"wait_timeout": "PT30S", "min_ok": 1})
    late.begin()
    late.finish("a")
    assert late.wait(29).cancels == []
    late.crash()
    assert late.wait(1).cancels == ["b"]
    assert late.play().run.state == "succeeded"


def test_in_a_stopped_turn_of_a_team_nobody_has_said_anything() -> None:
    player = a_team(mode="round_robin")
    player.begin()
    (turn,) = [path.rpartition(".")[0] for path in player.open]
    assert turn == "chat~1"
    assert stop(player, turn).cancels
    assert [path.rpartition(".")[0] for path in player.open] == ["chat~2"], "the team goes on with the next"
    player.crash()
    assert player.play().run.state == "succeeded"
    assert all(entry["turn"] > 1 for entry in player.row("chat")["meta"]["transcript"])
