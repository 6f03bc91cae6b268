"""Recorded runs are decided again as they were. `python -m tests.histories` records them anew."""

import copy
import json
from pathlib import Path

import pytest

from pipelines.graph.lock import Lock
from pipelines.graph.model import Budget
from pipelines.graph.parse import parse
from runs.engine.state import Execution
from tests.histories import codec
from tests.histories.replay import ended, read, recorded, replay


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_a_recorded_run_is_decided_again_as_it_was(file: Path) -> None:
    history = read(file)
    assert ended(history).is_terminal
    for number, then, now in replay(history):
        pytest.fail(f"{file.stem} turn {number}\nthen {json.dumps(then)[:4000]}\nnow  {json.dumps(now)[:4000]}")


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_its_rows_alone_bring_it_back_after_every_turn(file: Path) -> None:
    """What is restored knows every unfinished step, each in its state."""
    history = read(file)
    document, lock = parse(history["document"]), Lock.from_json(history["lock"])
    rows: dict[str, object] = {}
    for turn in history["turns"]:
        decision = turn["decision"]
        rows |= decision["changed"]
        records = [codec.record_from_json(row) for row in rows.values()]  # type: ignore[arg-type]
        spend = codec.spend_from_json(turn["money"]["spend"])
        run = Execution.restore(document, lock, history["input"], Budget(), records, decision["run"], spend)
        for path, record in run.steps.items():
            assert codec.plain(record.state) == rows[path]["state"]  # type: ignore[index]
        open_steps = {record.path for record in records if not record.state.is_terminal}
        assert open_steps <= run.steps.keys()


def test_there_are_histories_and_a_changed_decision_is_noticed() -> None:
    files = recorded()
    assert len(files) >= 5
    for file in files:
        changed = copy.deepcopy(read(file))
        changed["turns"][-1]["decision"]["events"].pop()
        assert [number for number, _, _ in replay(changed)] == [len(changed["turns"]) - 1]
