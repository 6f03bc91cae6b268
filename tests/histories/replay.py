"""Decides a recorded history again and compares each decision with what was decided then."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.graph.lock import Lock
from pipelines.graph.model import Budget
from pipelines.graph.parse import parse
from runs.engine.decide import decide
from runs.engine.decision import Event
from runs.engine.state import Execution
from runs.engine.status import RunState
from tests.histories import codec

FOLDER = Path(__file__).parent


def recorded() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))


def replay(history: Mapping[str, Any]) -> Iterator[tuple[int, Any, Any]]:
    """Yield (number, decided then, decided now) for each turn in which they differ.

    Only what was recorded is compared: a field that the engine has gained since says nothing about the past.
    """
    document, lock = parse(history["document"]), Lock.from_json(history["lock"])
    caps = {**history["budget"], "alert_at": tuple(history["budget"].get("alert_at", ()))}
    run = Execution.begin(document, lock, history["input"], Budget(**caps))
    rows: dict[str, Any] = {}
    for number, turn in enumerate(history["turns"]):
        spend = codec.spend_from_json(turn["money"]["spend"])
        if turn["restored"]:
            records = [codec.record_from_json(row) for row in rows.values()]
            run = Execution.restore(document, lock, history["input"], Budget(**caps), records, run.state, spend)
        run.spend = spend
        run.spends = {path: codec.spend_from_json(one) for path, one in turn["money"]["spends"].items()}
        run.alerts = [Event(**event) for event in turn["money"]["alerts"]]
        facts = [codec.fact_from_json(fact) for fact in turn["facts"]]
        now = codec.decision_to_json(decide(run, facts, datetime.fromisoformat(turn["now"])))
        rows |= now["changed"]
        then = turn["decision"]
        if _as_recorded(now, then) != then:
            yield number, then, now


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def ended(history: Mapping[str, Any]) -> RunState:
    return RunState(history["turns"][-1]["decision"]["run"])


def _as_recorded(now: Any, then: Any) -> Any:
    """Return `now` without the fields of steps and starts that did not exist then."""
    changed = {
        path: {name: row[name] for name in then["changed"][path] if name in row} if path in then["changed"] else row
        for path, row in now["changed"].items()
    }
    starts = [
        {name: start[name] for name in old if name in start}
        for start, old in zip(now["starts"], then["starts"], strict=False)
    ]
    extra = now["starts"][len(then["starts"]) :]
    return {**{name: now[name] for name in then}, "changed": changed, "starts": [*starts, *extra]}
