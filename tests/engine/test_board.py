"""The board: one writer, versions that rise by one, and a run that is restored with what stood there."""

from typing import Any

import pytest

from runs.engine.board import MAX_BYTES
from tests.engine.meeting import a_meeting
from tests.engine.playing import a_run


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
