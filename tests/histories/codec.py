"""Facts and decisions as JSON and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from runs.engine import facts
from runs.engine.budget import Spend
from runs.engine.decision import Decision, Start, StepRecord
from runs.engine.facts import ErrorClass, Fact, StepError
from runs.engine.state import Execution
from runs.engine.status import StepState

_OF_A_START = (
    *("path", "attempt", "input", "model", "repair", "grants", "edits", "denials", "outcomes", "trust"),
    *("generation", "seconds_left"),
)


def plain(value: Any) -> Any:
    """Return a value as the database would give it back."""
    return json.loads(json.dumps(value, default=str))


def fact_to_json(fact: Fact) -> dict[str, Any]:
    return {"fact": type(fact).__name__, **plain(asdict(fact))}


def fact_from_json(data: Mapping[str, Any]) -> Fact:
    fields = dict(data)
    kind = getattr(facts, fields.pop("fact"))
    if isinstance(fields.get("error"), dict):
        error = fields["error"]
        fields["error"] = StepError(
            **{**error, "cls": ErrorClass(error["cls"]), "findings": tuple(error.get("findings", ()))}
        )
    for name in ("ports", "flags"):
        if name in fields:
            fields[name] = tuple(fields[name])
    made: Fact = kind(**fields)
    return made


def decision_to_json(decision: Decision) -> dict[str, Any]:
    return {
        "run": str(decision.run),
        "events": [plain(asdict(event)) for event in decision.events],
        "changed": {path: plain(asdict(record)) for path, record in sorted(decision.changed.items())},
        "starts": [_start(start) for start in decision.starts],
        "cancels": sorted(decision.cancels),
        "children": [plain({**asdict(child), "origin": child.origin.as_json()}) for child in decision.children],
        "tells": [{"child": tell.child, "fact": fact_to_json(tell.fact)} for tell in decision.tells],
        "asks": [plain(asdict(ask)) for ask in decision.asks],
        "wake_at": plain(decision.wake_at),
        "idle": decision.idle,
    }


def money_to_json(execution: Execution) -> dict[str, Any]:
    """Return what calls changed in the run's state since the decision before: it is not in the facts."""
    return plain(
        {
            "spend": asdict(execution.spend),
            "spends": {path: asdict(spend) for path, spend in execution.spends.items()},
            "alerts": [asdict(event) for event in execution.alerts],
            "refusals": {path: asdict(refusal) for path, refusal in execution.refusals.items()},
        }
    )


def spend_from_json(data: Mapping[str, Any]) -> Spend:
    return Spend(**data)


def record_from_json(row: Mapping[str, Any]) -> StepRecord:
    """Return a step as `restore` takes it."""
    fields = dict(row)
    fields["state"] = StepState(row["state"])
    fields["ports"] = tuple(row["ports"])
    for name in ("started_at", "finished_at"):
        fields[name] = datetime.fromisoformat(row[name]) if row[name] else None
    return StepRecord(**fields)


def _start(start: Start) -> dict[str, Any]:
    return {name: plain(_as_is(getattr(start, name))) for name in _OF_A_START}


def _as_is(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
