"""Boards that runs share, on real workers: whoever dies, each change is made once and nobody overlooks one."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.roles import Role
from runs.forks import Fork, fork
from runs.models import BoardEntry, Run
from tests.faults.stage import Stage
from tests.faults.test_children import TOPIC, all_is_well, everybody
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def a_writer(stage: Stage, ms: int, slug: str = "writer") -> None:
    """Publish a pipeline that appends twice to the board, with an agent's call between."""
    prompt = "[run=${input.run} step=${input.item}] go"
    nodes: dict[str, Any] = {
        "start": {"kind": "input"},
        "before": {"kind": "board", "op": "append", "key": "log", "value": "${input.item} begins"},
        "work": {"kind": "agent", "agent": stage.agent(f"{slug}-agent", ms), "prompt": prompt},
        "after": {"kind": "board", "op": "append", "key": "log", "value": "${input.item} ends"},
        "seen": {"kind": "board", "op": "read", "key": "topic"},
        "end": {"kind": "output", "value": "${steps.seen.output}"},
    }
    edges = ["start>before", "before>work", "work>after", "after>seen", "seen>end"]
    stage.pipeline(slug, nodes, edges, inputs=TOPIC)


def a_family(stage: Stage, count: int) -> Run:
    """Start a run with so many children at its board, and an append of its own beside them."""
    given = {"run": "${input.run}"}
    calls = {
        f"c{n}": {"kind": "pipeline", "pipeline": "writer", "inputs": {**given, "item": f"c{n}"}, "share_board": True}
        for n in range(count)
    }
    nodes: dict[str, Any] = {
        "start": {"kind": "input"},
        "topic": {"kind": "board", "op": "write", "key": "topic", "value": "bees"},
        **calls,
        "own": {"kind": "board", "op": "append", "key": "log", "value": "own"},
        "join": {"kind": "combine"},
        "end": {"kind": "output", "value": {"log": "${board.log}", "topics": "${steps.join.output}"}},
    }
    beside = [*calls, "own"]
    edges = ["start>topic", *(edge for name in beside for edge in (f"topic>{name}", f"{name}>join")), "join>end"]
    return stage.start(stage.pipeline("family", nodes, edges, board={"log": ["first"]}))


def expected(count: int) -> list[str]:
    return sorted(["first", "own", *(f"c{n} {what}" for n in range(count) for what in ("begins", "ends"))])


def is_whole(run: Run) -> bool:
    """Tell whether the board's versions rise by one, and each change stands in the log of exactly one run."""
    rows = BoardEntry.objects.filter(board_id=run.board_id, key="log").order_by("id")
    versions = [row.version for row in rows]
    logged = [
        event.payload["version"]
        for one in everybody(run)
        for event in one.event_set.filter(type="board_changed", payload__key="log")
    ]
    return versions == list(range(1, len(versions) + 1)) and sorted(logged) == versions[1:]


def test_children_write_to_their_parent_s_board_while_workers_die(stage: Stage, client: Any) -> None:
    a_writer(stage, 1500)
    workers = [stage.worker("w1"), stage.worker("w2")]
    run = a_family(stage, 4)
    for index in range(4):
        stage.wait_for_call(f"c{index}")
    workers[0].kill()
    workers[1].kill()
    stage.worker("w3")
    run = stage.wait(run, seconds=90)
    assert run.state == "succeeded", stage.explain(run)
    assert sorted(run.output["log"]) == expected(4)
    assert set(Run.objects.filter(parent=run).values_list("board_id", flat=True)) == {run.board_id}
    assert is_whole(run)
    assert all_is_well(run)
    boards_shown = [
        client.get(f"/api/v1/runs/{one.pk}/board", headers=bearer(stage.team.alice, stage.team.workspace)).json()
        for one in everybody(run)
    ]
    assert all(shown == boards_shown[0] for shown in boards_shown), "all see the same board"

    again = stage.wait(
        fork(Actor(stage.team.alice, stage.team.workspace, frozenset(Role)), run, Fork("c3")), seconds=60
    )
    assert again.state == "succeeded", stage.explain(again)
    assert sorted(again.output["log"]) == expected(4), "what c3 wrote is written anew, the rest is kept"


def test_a_worker_that_freezes_at_the_board_and_comes_back_changes_nothing_twice(stage: Stage) -> None:
    import signal

    a_writer(stage, 1500)
    first = stage.worker("w1")
    run = a_family(stage, 2)
    stage.wait_for_call("c0")
    first.freeze_between_commits()
    stage.worker("w2")
    stage.wait_for_call("c0", times=2)
    first.send(signal.SIGCONT)
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded", stage.explain(run)
    assert sorted(run.output["log"]) == expected(2)
    assert is_whole(run)
