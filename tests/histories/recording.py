"""Stands in the place of `decide` and writes down what each run is told and what it decides."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from runs.engine import decide
from runs.execution import owned, rows
from tests.histories import codec


class Recorder:
    """`runs` has what was recorded of each run by its id: what it began with, and its turns."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self._known: dict[str, Any] = {}
        self._decide, self._execution = decide.decide, owned._execution

    def __enter__(self) -> "Recorder":
        decide.decide = self._noted  # type: ignore[assignment]
        owned._execution = self._taken  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        decide.decide, owned._execution = self._decide, self._execution  # type: ignore[assignment]

    def _taken(self, claimed: Any, pinned: Any) -> Any:
        """Note what a run begins with, the rows that a fork has from the other run too."""
        run = claimed.run
        found = {codec.plain(asdict(rows.step_record(step)))["path"]: step for step in claimed.steps}
        self.runs.setdefault(
            str(run["id"]),
            {
                "run": str(run["id"]),
                "version": pinned.id,
                "input": codec.plain(run["input"]),
                "budget": codec.plain(run["budget"]),
                "origin": codec.plain(run["origin"]),
                "rows": {path: codec.plain(asdict(rows.step_record(step))) for path, step in found.items()},
                "turns": [],
            },
        )
        return self._execution(claimed, pinned)

    def _noted(self, execution: Any, facts: Sequence[Any], now: datetime) -> Any:
        found = self.runs[execution.origin.run]
        known = self._known.get(execution.origin.run)
        turn = {
            "now": now.isoformat(),
            "restored": execution is not known and bool(known or found["rows"]),
            "money": codec.money_to_json(execution),
            "facts": [codec.fact_to_json(fact) for fact in facts],
        }
        self._known[execution.origin.run] = execution
        decision = self._decide(execution, facts, now)
        found["turns"].append({**turn, "decision": codec.decision_to_json(decision)})
        return decision


def told(recorder: Recorder, run_id: str, documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a run's history and those of the runs it started, `documents` by the id of the version."""
    found = dict(recorder.runs[run_id])
    children = [child["id"] for turn in found["turns"] for child in turn["decision"]["children"]]
    version = documents[found.pop("version")]
    history = {**version, **found}
    if below := [told(recorder, child, documents) for child in children if child in recorder.runs]:
        history["children"] = below
    return history
