"""When a step runs, is skipped, or never gets enough (engine.md §2)."""

from typing import Any

import pytest

from pipelines.graph.model import Kind, Node
from runs.engine.joins import Verdict, feeding_only, verdict
from tests.engine.building import a_document, a_graph
from tests.engine.playing import Fails, a_run

FAILS_QUIETLY = {"on_error": {"then": "skip"}}


def a_join(kind: Kind = Kind.COMBINE, **more: Any) -> Node:
    min_ok = more.pop("min_ok", 1)
    return Node("join", kind, {"min_ok": min_ok}, **more)


# counts are open, taken, skipped, failed
@pytest.mark.parametrize(
    ("join", "counts", "expected"),
    [
        (a_join(), [0, 0, 0, 0], Verdict.RUN),
        (a_join(), [1, 1, 0, 0], Verdict.WAIT),
        (a_join(), [0, 2, 0, 0], Verdict.RUN),
        (a_join(), [0, 1, 1, 0], Verdict.RUN),
        (a_join(), [0, 0, 2, 0], Verdict.SKIP),
        (a_join(), [0, 1, 0, 1], Verdict.SKIP_FAILED),
        (a_join(on_failed_input="tolerate"), [0, 1, 0, 1], Verdict.RUN),
        (a_join(on_failed_input="tolerate"), [0, 0, 1, 1], Verdict.NOT_ENOUGH),
        (a_join(on_failed_input="tolerate", min_ok=2), [0, 1, 0, 1], Verdict.NOT_ENOUGH),
        (a_join(min_ok=2), [0, 1, 1, 0], Verdict.SKIP),
        (a_join(wait_for="all"), [0, 2, 0, 0], Verdict.RUN),
        (a_join(wait_for="all"), [0, 1, 1, 0], Verdict.SKIP),
        (a_join(wait_for="all", on_failed_input="tolerate"), [0, 1, 0, 1], Verdict.NOT_ENOUGH),
        (a_join(wait_for="first"), [1, 1, 0, 0], Verdict.RUN),
        (a_join(wait_for="first"), [1, 0, 1, 0], Verdict.WAIT),
        (a_join(wait_for="first"), [0, 0, 2, 0], Verdict.SKIP),
        (a_join(wait_for="first"), [0, 0, 1, 1], Verdict.SKIP_FAILED),
        (a_join(wait_for=2), [1, 1, 0, 0], Verdict.WAIT),
        (a_join(wait_for=2), [1, 2, 0, 0], Verdict.RUN),
        (a_join(wait_for="first"), [1, 0, 0, 1], Verdict.WAIT),
        (a_join(wait_for=2, on_failed_input="tolerate"), [1, 0, 1, 1], Verdict.WAIT),
        (a_join(wait_for=2, on_failed_input="tolerate"), [0, 1, 1, 1], Verdict.RUN),
        (a_join(wait_for=2, on_failed_input="tolerate"), [0, 0, 2, 1], Verdict.NOT_ENOUGH),
        (a_join(wait_for=2, on_failed_input="tolerate", min_ok=2), [0, 1, 1, 1], Verdict.NOT_ENOUGH),
        (a_join(wait_for=2), [0, 1, 1, 1], Verdict.SKIP_FAILED),
        (a_join(wait_for=2), [0, 1, 2, 0], Verdict.RUN),
        (a_join(wait_for=2, min_ok=2), [0, 1, 2, 0], Verdict.SKIP),
        (a_join(wait_for=3, on_failed_input="tolerate", min_ok=2), [1, 1, 0, 2], Verdict.WAIT),
        (a_join(wait_for=3, on_failed_input="tolerate", min_ok=2), [0, 2, 0, 2], Verdict.RUN),
        (a_join(Kind.AGENT, wait_for=2), [0, 1, 1, 0], Verdict.RUN),
        (a_join(Kind.AGENT), [0, 1, 1, 0], Verdict.RUN),
    ],
)
def test_a_join_decides_by_how_its_edges_settled(join: Node, counts: list[int], expected: Verdict) -> None:
    assert verdict(join, counts) is expected


def test_only_steps_that_nobody_else_needs_feed_a_join_alone() -> None:
    graph = a_document(a_graph("start >> a >> a2 >> join >> result; start >> b, c >> join; c >> other")).graph
    assert feeding_only(graph, "join") == {"a", "a2", "b"}


def test_a_chain_runs_one_step_after_the_other() -> None:
    player = a_run("start >> research >> write >> result").play()
    assert player.paths_started() == ["research", "write"]
    assert player.run.state == "succeeded"
    assert player.run.output == "done"


def test_the_way_not_taken_is_skipped_and_the_ways_meet_again() -> None:
    route = {"kind": "decide", "routes": [{"port": "legal", "when": "input.risky"}], "otherwise": "plain"}
    drawing = "start >> route; route:legal >> counsel >> join; route:plain >> quick >> join >> result"
    risky = a_run(drawing, input={"risky": True}, route=route).play()
    assert risky.paths_started() == ["counsel"]
    assert risky.state("quick") == "skipped"
    assert risky.row("join")["output"] == {"counsel": "counsel"}
    assert risky.row("join")["meta"] == {"missing": ["quick"]}
    assert a_run(drawing, input={"risky": False}, route=route).play().paths_started() == ["quick"]


def test_a_contained_failure_skips_what_propagates_and_feeds_what_tolerates() -> None:
    player = a_run("start >> a, b; a >> after; a, b >> join >> result", {"a": Fails()}, a=FAILS_QUIETLY).play()
    assert player.state("a") == "failed"
    assert player.row("a")["flags"] == ["contained"]
    assert player.state("after") == "skipped"
    assert player.row("join")["output"] == {"b": "b"}
    assert player.run.state == "succeeded"


def test_a_join_that_got_too_little_fails_with_the_count() -> None:
    player = a_run(
        "start >> a, b >> join >> result", {"a": Fails()}, a=FAILS_QUIETLY, join={"kind": "combine", "min_ok": 2}
    ).play()
    assert player.run.state == "failed"
    assert player.run.error["code"] == "not_enough_inputs"
    assert "1 of its 2" in player.run.error["message"]


def test_the_first_to_come_wins_and_the_others_are_cancelled() -> None:
    player = a_run("start >> fast, slow, slower >> join >> result", join={"kind": "combine", "wait_for": "first"})
    player.begin()
    player.finish("fast")
    assert player.run.state == "succeeded"
    assert player.state("slow") == player.state("slower") == "cancelled"
    assert player.row("slow")["meta"]["cancelled"] == "lost_race"
    assert sorted(player.cancelled) == ["slow", "slower"]
    winners = [
        event.payload["winners"] for event in player.events if event.path == "join" and "winners" in event.payload
    ]
    assert winners == [["fast"]]


def test_a_race_spares_the_steps_that_others_need() -> None:
    race = {"kind": "combine", "wait_for": "first"}
    player = a_run("start >> a, b >> join >> result; b >> log", join=race)
    player.begin()
    player.finish("a")
    assert player.state("b") == "running"
    player.play()
    assert player.state("log") == "succeeded"


def test_losers_go_on_where_the_join_does_not_cancel_them() -> None:
    race = {"kind": "combine", "wait_for": 2, "cancel_rest": False}
    player = a_run("start >> a, b, c >> join >> result", join=race)
    player.begin()
    for name in ("a", "c"):
        player.finish(name)
    assert player.row("join")["output"] == {"a": "a", "c": "c"}
    assert player.play().state("b") == "succeeded"


@pytest.mark.parametrize("wait_timeout", [None, "PT10M"])
def test_a_join_of_two_that_cannot_come_any_more_goes_on_with_what_its_minimum_asks(wait_timeout: str | None) -> None:
    join = {"kind": "combine", "wait_for": 2, **({"wait_timeout": wait_timeout} if wait_timeout else {})}
    drawing, script = "start >> a, b, c >> join >> result", {"a": Fails(), "b": Fails()}
    quiet = {"a": FAILS_QUIETLY, "b": FAILS_QUIETLY}
    player = a_run(drawing, script, join=join, **quiet)
    player.begin()
    for name in ("a", "b"):
        player.finish(name)
    assert player.run.state == "running", "the third may still come"
    player.finish("c")
    assert player.row("join")["output"] == {"c": "c"}
    assert player.row("join")["meta"] == {"missing": ["a", "b"]}
    wanting = a_run(drawing, script, join={**join, "min_ok": 2}, **quiet).play()
    assert wanting.run.error["code"] == "not_enough_inputs"


@pytest.mark.parametrize(("on_timeout", "state"), [("use_arrived", "succeeded"), ("fail", "failed")])
def test_a_join_waits_only_so_long_after_the_first_arrival(on_timeout: str, state: str) -> None:
    join = {"kind": "combine", "wait_timeout": "PT10M", "on_timeout": on_timeout}
    player = a_run("start >> a, b >> join >> result", join=join)
    player.begin()
    player.wait(3_600)
    player.finish("a")
    player.wait(599)
    assert player.run.state == "running"
    player.wait(1)
    assert player.run.state == state
    assert player.state("b") == "cancelled"
    assert player.row("join")["output"] == ({"a": "a"} if state == "succeeded" else None)


def test_a_step_that_stops_the_run_cancels_all_that_runs() -> None:
    player = a_run("start >> a, b, c >> join >> result", {"a": Fails()}, a={"on_error": {"then": "stop_run"}})
    player.begin()
    player.finish("a")
    assert player.run.state == "failed"
    assert player.run.reason == "step_failed"
    assert player.run.error == {"class": "tool_error", "code": "broken", "message": "It is broken.", "path": "a"}
    assert player.state("b") == player.state("join") == "cancelled"
    assert sorted(player.cancelled) == ["b", "c"]


def test_a_failure_in_a_safe_zone_is_contained_by_itself() -> None:
    player = a_run("start >> a, b >> join >> result", {"a": Fails()}).play()
    assert player.run.state == "succeeded"
    assert player.row("a")["flags"] == ["contained"]


def test_no_result_because_of_routing_is_a_success_that_says_so() -> None:
    player = a_run("start >> approve >> send >> result").play()
    player.answer("reject", reason="no")
    assert (player.run.state, player.run.reason, player.run.output) == ("succeeded", "no_result", None)


def test_no_result_because_of_a_failure_is_a_failure() -> None:
    player = a_run("start >> a >> result", {"a": Fails()}, a=FAILS_QUIETLY).play()
    assert (player.run.state, player.run.reason) == ("failed", "no_result")
    assert player.run.error["path"] == "result"


def test_several_results_come_by_name_and_one_may_end_the_run() -> None:
    both = a_run("start >> a >> left; start >> b >> right", left=_result("a"), right=_result("b")).play()
    assert both.run.output == {"left": "a", "right": "b"}
    first = a_run("start >> a >> left; start >> b >> right", left=_result("a", ends_run=True), right=_result("b"))
    first.begin()
    first.finish("a")
    assert first.run.state == "succeeded"
    assert first.run.output == {"left": "a"}
    assert first.state("b") == "cancelled"


def _result(step: str, **more: Any) -> dict[str, Any]:
    return {"kind": "output", "value": f"${{steps.{step}.output}}", **more}


def test_a_disabled_step_is_left_out_and_the_run_goes_on() -> None:
    player = a_run("start >> a >> b >> result", a={"disabled": True}).play()
    assert player.state("a") == "skipped"
    assert player.paths_started() == ["b"]
    assert player.run.state == "succeeded"


def test_a_disabled_approval_approves_nothing() -> None:
    player = a_run("start >> approve >> send >> result", approve={"disabled": True}).play()
    assert [question["request"] for question in player.asked()] == ["send!1"]


def test_no_more_steps_run_at_once_than_the_document_allows() -> None:
    player = a_run("start >> a, b, c, d >> join >> result", document={"limits": {"max_parallel": 2}})
    player.begin()
    assert player.paths_started() == ["a", "b"]
    assert player.state("c") == "ready"
    assert player.types("c") == ["step_ready"]
    player.finish("b")
    assert player.paths_started() == ["a", "b", "c"]
    player.play()
    assert player.run.state == "succeeded"


def test_who_came_first_is_served_first() -> None:
    player = a_run(
        "start >> a >> a2 >> join >> result; start >> b, c >> join", document={"limits": {"max_parallel": 1}}
    )
    player.play()
    assert player.paths_started() == ["a", "b", "c", "a2"]
