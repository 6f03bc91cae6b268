"""Recorded runs are decided again as they were. `python -m tests.histories` records them anew."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runs.engine.status import StepState
from tests.histories import codec
from tests.histories.replay import FOLDER, Begun, ended, read, recorded, replay, runs_of
from tests.histories.scenarios import SCENARIOS


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_a_recorded_run_is_decided_again_as_it_was(file: Path) -> None:
    for name, history in runs_of(read(file)):
        assert ended(history).is_terminal
        for number, then, now in replay(history):
            pytest.fail(f"{name} turn {number}\nthen {json.dumps(then)[:4000]}\nnow  {json.dumps(now)[:4000]}")


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_its_rows_alone_bring_it_back_after_every_turn(file: Path) -> None:
    """What is restored knows every unfinished step, each in its state."""
    for _, history in runs_of(read(file)):
        told, rows = Begun.of(history), dict(history.get("rows", {}))
        for turn in history["turns"]:
            decision = turn["decision"]
            rows |= decision["changed"]
            spend = codec.spend_from_json(turn["money"]["spend"])
            run = told.restored(rows, decision["run"], spend)
            for path, record in run.steps.items():
                assert codec.plain(record.state) == rows[path]["state"]
            open_steps = {path for path, row in rows.items() if not StepState(row["state"]).is_terminal}
            assert open_steps <= run.steps.keys()


def test_every_scenario_is_recorded_and_a_changed_decision_is_noticed() -> None:
    files = recorded()
    assert {file.stem for file in files} == SCENARIOS.keys()
    for file in files:
        changed = copy.deepcopy(read(file))
        changed["turns"][-1]["decision"]["events"].pop()
        assert [number for number, _, _ in replay(changed)] == [len(changed["turns"]) - 1]


WHAT_THEY_SHOW = {
    "planned-work": {"lead_asked", "task_given", "approval_requested"},
    "nested-leads": {"lead_asked", "task_given"},
    "message-bus": {"turn_started"},
    "blackboard": {"board_changed"},
    "published": {"event_sent", "wait_ended"},
    "exhausted": {"round_started"},
    "failure-asked": {"approval_requested", "StepFailed"},
    "edited-and-approved": {"approval_decided"},
    "cancelled": {"run_cancelling", "step_cancelled", "CancelRequested"},
    "portfolio-review": {"ChildEnded"},
    "spread": {"ChildEnded"},
    "child-and-detached": {"ChildEnded"},
}
CHILDREN = {"portfolio-review": 3, "spread": 3, "child-and-detached": 2}


def test_the_histories_have_what_they_were_recorded_for() -> None:
    """A recording that took another way would prove nothing."""
    for name, wanted in WHAT_THEY_SHOW.items():
        history = read(FOLDER / f"{name}.json")
        events = {event["type"] for turn in history["turns"] for event in turn["decision"]["events"]}
        assert wanted <= events | {fact["fact"] for turn in history["turns"] for fact in turn["facts"]}, name
        assert len(history.get("children", ())) == CHILDREN.get(name, 0), name
    assert any("reused" in row["flags"] for row in read(FOLDER / "forked.json")["rows"].values())
    sent = _ended(read(FOLDER / "edited-and-approved.json"))["send"]
    assert (sent["input"]["args"]["subject"], sent["memo"]["edited_by_person"]) == ("As edited", ["/args/subject"])
    assert _ended(read(FOLDER / "exhausted.json"))["again"]["ports"] == ["exhausted"]
    assert _ended(read(FOLDER / "best-of-three.json"))["join"]["meta"]["winner"] == "a"


def _ended(history: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last row of each step of a run."""
    rows: dict[str, Any] = {}
    for turn in history["turns"]:
        rows |= turn["decision"]["changed"]
    return rows
