"""The board: one writer, versions that rise by one, and a run that is restored with what stood there."""

from typing import Any

import pytest

from runs.engine.board import MAX_BYTES
from tests.engine.building import a_graph
from tests.engine.meeting import a_meeting
from tests.engine.playing import Player, a_run
from tests.engine.test_forking import forked


def board(op: str, key: str = "k", **more: Any) -> dict[str, Any]:
    return {"kind": "board", "op": op, "key": key, **more}


def test_what_is_written_is_read_by_steps_and_expressions() -> None:
    player = a_run(
        "start >> w >> a >> r >> result",
        w=board("write", "topic.${input.n}", value={"name": "tides"}),
        a={"prompt": "About ${board.first} and ${board.none | default('nothing')}."},
        r=board("read", "topic.1"),
        result={"value": "${steps.r.output.name}"},
        document={"board": {"first": "the sea"}},
        input={"n": 1},
    ).play()
    assert player.run.output == "tides"
    assert player.started[0].input == {"prompt": "About the sea and nothing."}
    assert player.row("w")["meta"] == {"version": 1}
    assert player.started[0].trust == {"/prompt": "tool"}, "any step may have written there"


def test_a_key_that_nobody_wrote_is_null_at_version_0() -> None:
    player = a_run("start >> r >> result", r=board("read")).play()
    assert (player.row("r")["output"], player.row("r")["meta"]) == (None, {"version": 0})


def test_what_is_missing_on_the_board_fails_the_step_that_reads_it() -> None:
    player = a_run("start >> a >> result", a={"prompt": "${board.k}"}).play()
    assert player.row("a")["error"]["code"] == "missing_value"


def test_appends_come_one_after_the_other_and_survive_a_crash_at_any_point() -> None:
    inner = {"nodes": {"add": board("append", value="${item}")}, "edges": []}
    drawing = "start >> a >> each >> b >> r >> result"
    nodes = {"each": {"kind": "each", "over": [1, 2, 3], "graph": inner}, "r": board("read")}
    for crashes in range(1, 4):
        player = a_run(drawing, **nodes)
        player.play(each_time=lambda p, n=crashes: p.crash() if len(p.started) % n == 0 and p.open else None)
        assert player.row("r")["output"] == [1, 2, 3]
        assert player.row("r")["meta"] == {"version": 3}
        changed = [event.payload for event in player.events if event.type == "board_changed"]
        assert [entry["version"] for entry in changed] == [1, 2, 3], "each append once"


def test_a_conflict_is_tried_again_and_then_fails_as_transient() -> None:
    player = a_run("start >> w >> result", w=board("write", value=1, if_version=3)).play()
    assert player.row("w")["error"] == {
        "class": "transient",
        "code": "board_conflict",
        "message": "The board's 'k' is at version 0, not 3: somebody changed it meanwhile.",
    }
    assert player.row("w")["attempt"] == 3


def test_a_conflict_ends_when_the_version_has_come() -> None:
    player = a_run(
        "start >> w >> result; start >> a >> first",
        w=board("write", value="second", if_version=1),
        first=board("write", value="first"),
    )
    player.begin()
    assert player.state("w") == "retrying"
    player.crash()
    player.finish("a")
    player.wait(1)
    assert player.state("w") == "succeeded"
    assert player.run.board.values == {"k": "second"}
    assert player.run.board.versions == {"k": 2}


def test_only_one_of_two_that_read_the_same_version_writes() -> None:
    """Optimistic: both have read version 1, so the second is told to read again."""
    player = a_run(
        "start >> r >> a, b; a >> wa >> join; b >> wb >> join >> result",
        r=board("read"),
        wa=board("write", value="a", if_version="${steps.r.meta.version}"),
        wb=board("write", value="b", if_version="${steps.r.meta.version}", on_error={"then": "skip"}),
        document={"board": {"k": "begin"}},
    )
    player.begin()
    player.finish("a")
    player.finish("b")
    player.play()
    assert player.row("wb")["error"]["code"] == "board_conflict"
    assert player.run.board.values == {"k": "a"}


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (board("append", value=1), "not_a_list"),
        (board("write", "", value=1), "bad_key"),
        (board("write", "x" * 201, value=1), "bad_key"),
        (board("write", value="x" * MAX_BYTES), "board_full"),
        (board("publish", "t", value="x" * MAX_BYTES), "board_full"),
        (board("write", value=1, if_version="${input.words}"), "not_a_number"),
    ],
)
def test_what_the_board_does_not_take_fails_by_name(node: dict[str, Any], code: str) -> None:
    player = a_run("start >> w >> result", w=node, document={"board": {"k": "text"}}, input={"words": "one"}).play()
    assert player.row("w")["error"]["code"] == code
    assert player.run.board.values == {"k": "text"}


def test_what_a_step_has_read_does_not_change_under_it() -> None:
    player = a_run(
        "start >> r >> w >> result", r=board("read"), w=board("append", value=2), document={"board": {"k": [1]}}
    ).play()
    assert player.row("r")["output"] == [1]
    assert player.run.board.values == {"k": [1, 2]}
    assert player.document.board == {"k": [1]}, "the next run begins as this one did"


def test_an_item_run_again_by_hand_keeps_what_it_had_written() -> None:
    graph = {
        "nodes": {"add": board("append", value="${item}"), "a": {"kind": "agent", "agent": "writer@1", "prompt": "x"}},
        "edges": [{"from": "add", "to": "a"}],
    }
    from tests.engine.playing import Fails

    player = a_run(
        "start >> each >> result",
        {"a": [Fails(), "fine"]},
        each={"kind": "each", "over": [7], "graph": graph, "on_error": {"then": "ask_human"}},
    ).play()
    player.answer("retry")
    player.crash()
    player.play()
    assert player.run.state == "succeeded"
    assert player.run.board.values == {"k": [7, 7]}
    assert player.run.board.versions == {"k": 2}


def test_publishing_wakes_the_steps_that_wait_at_the_topic() -> None:
    player = a_meeting(
        "start >> hold; hold:event_news >> result; start >> a >> tell",
        hold={"kind": "wait", "event": {"name": "news", "topic": "news"}},
        tell=board("publish", "news", value={"about": "${steps.a.output}"}),
        result={"value": "${steps.hold.output.payload.about}"},
    ).play()
    assert player.run.output == "a"
    assert player.row("tell")["meta"] == {"topic": "news"}


# Items and rounds that are judged by what stands on the board


ONE_BY_ONE = {"kind": "each", "over": [1, 2, 3], "max_parallel": 1}
JUDGED = {"kind": "repeat", "max_rounds": 3, "on_exhausted": "best", "result": "${steps.score.output}"}


def at_the_board() -> dict[str, Any]:
    """Return a graph in which one step writes what another said."""
    graph: dict[str, Any] = a_graph("score >> w", w=board("write", value="${steps.score.output}"))
    return graph


def restarting(player: Player) -> Player:
    """Play to the end, with a new owner before each step."""
    return player.play(each_time=lambda p: p.crash(crashed=False) if p.open else None)


def test_an_item_comes_after_a_restart_to_what_stood_on_the_board_when_it_ended() -> None:
    each = {**ONE_BY_ONE, "graph": at_the_board(), "result": "${board.k} of ${item}"}
    for end in (Player.play, restarting):
        player = end(a_run("start >> each >> result", {"score": lambda start: f"about {start.path}"}, each=each))
        assert player.row("each")["output"] == [f"about each[{index}].score of {index + 1}" for index in range(3)]


def test_a_failed_item_stays_failed_when_what_it_missed_is_written_later() -> None:
    inner = a_graph("score >> w", w=board("write", "${item}", value=1))
    each = {**ONE_BY_ONE, "over": ["a", "b", "c"], "on_item_error": "omit", "graph": inner, "result": "${board.b}"}
    for end in (Player.play, restarting):
        player = end(a_run("start >> each >> result", each=each))
        assert [item["status"] for item in player.row("each")["meta"]["items"]] == ["failed", "succeeded", "succeeded"]


def scores(*values: int) -> dict[str, Any]:
    return {"score": lambda start: values[int(start.path.partition("#")[2].partition(".")[0]) - 1]}


@pytest.mark.parametrize(
    ("config", "values", "best", "count"),
    [
        ({"until": "board.k >= 9", "best_by": "board.k"}, (7, 5, 6), 1, 3),
        ({"until": "board.k >= 9", "no_progress": {"metric": "board.k", "rounds": 2}}, (7, 5, 6), 1, 3),
        ({"until": "board.k >= 9", "no_progress": {"metric": "board.k", "rounds": 1}}, (5, 4, 9), 1, 2),
        ({"until": "board.k >= 7"}, (3, 8, 1), 2, 2),
    ],
)
def test_a_round_is_judged_once_by_the_board_as_it_then_was(
    config: dict[str, Any], values: tuple[int, ...], best: int, count: int
) -> None:
    repeat = {**JUDGED, "graph": at_the_board(), **config}
    ways = [end(a_run("start >> again >> result", scores(*values), again=repeat)) for end in (Player.play, restarting)]
    for player in ways:
        meta = player.row("again")["meta"]
        assert (meta["round"], len(meta["rounds"])) == (best, count)
    assert ways[0].row("again")["meta"] == ways[1].row("again")["meta"]


def test_an_item_that_is_run_again_is_judged_again() -> None:
    each = {**ONE_BY_ONE, "over": [1], "graph": at_the_board(), "result": "${board.late}"}
    nodes = {"each": {**each, "on_error": {"then": "ask_human"}}, "late": board("write", "late", value="here now")}
    player = a_run("start >> each >> result; start >> ask >> late", **nodes)
    player.play()
    player.answer("answer", "go on", path="ask")
    player.play()
    player.crash(crashed=False)
    assert player.run.containers["each"].outcomes[0].error["code"] == "missing_value"
    player.answer("retry", path="each")
    restarting(player)
    assert player.row("each")["output"] == ["here now"]


def test_a_fork_takes_an_item_over_with_what_it_had_come_to() -> None:
    each = {**ONE_BY_ONE, "graph": at_the_board(), "result": "${board.k}"}
    first = a_run("start >> each >> result", {"score": lambda start: f"about {start.path}"}, each=each).play()
    again = forked(first, "each[1].score", script={"score": "new"}).play()
    assert again.paths_started() == ["each[1].score"]
    assert again.row("each")["output"] == ["about each[0].score", "new", "about each[2].score"]
