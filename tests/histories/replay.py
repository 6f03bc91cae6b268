"""Decides a recorded history again and compares each decision with what was decided then."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.graph.lock import Lock
from pipelines.graph.model import Budget, Document
from pipelines.graph.parse import parse
from runs.engine.budget import Refusal, Spend
from runs.engine.decide import decide
from runs.engine.decision import Event
from runs.engine.origin import Origin
from runs.engine.state import Execution
from runs.engine.status import RunState
from tests.histories import codec

FOLDER = Path(__file__).parent


def recorded() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))


def replay(history: Mapping[str, Any]) -> Iterator[tuple[int, Any, Any]]:
    """Yield (number, decided then, decided now) for each turn in which they differ, of one run.

    Only what was recorded is compared: a field that the engine has gained since says nothing about the past.
    """
    told = Begun.of(history)
    run = Execution.begin(told.document, told.lock, told.input, told.budget, told.origin)
    rows: dict[str, Any] = dict(history.get("rows", {}))
    for number, turn in enumerate(history["turns"]):
        spend = codec.spend_from_json(turn["money"]["spend"])
        if turn["restored"]:
            run = told.restored(rows, run.state, spend)
        run.spend = spend
        run.spends = {path: codec.spend_from_json(one) for path, one in turn["money"]["spends"].items()}
        run.alerts = [Event(**event) for event in turn["money"]["alerts"]]
        run.refusals = {path: Refusal(**one) for path, one in turn["money"].get("refusals", {}).items()}
        facts = [codec.fact_from_json(fact) for fact in turn["facts"]]
        now = codec.decision_to_json(decide(run, facts, datetime.fromisoformat(turn["now"])))
        rows |= now["changed"]
        then = turn["decision"]
        if _as_recorded(now, then) != then:
            yield number, then, now


@dataclass(frozen=True)
class Begun:
    """What a run begins with."""

    document: Document
    lock: Lock
    input: Any
    budget: Budget
    origin: Origin

    @classmethod
    def of(cls, history: Mapping[str, Any]) -> "Begun":
        caps = {**history["budget"], "alert_at": tuple(history["budget"].get("alert_at", ()))}
        origin = Origin.from_json(history["run"], history["origin"]) if "run" in history else Origin()
        lock = Lock.from_json(history["lock"])
        return cls(parse(history["document"]), lock, history["input"], Budget(**caps), origin)

    def restored(self, rows: Mapping[str, Any], state: RunState, spend: Spend) -> Execution:
        """Return the run as its rows bring it back."""
        records = [codec.record_from_json(row) for row in rows.values()]
        return Execution.restore(
            self.document, self.lock, self.input, self.budget, records, state, spend, origin=self.origin
        )


def runs_of(history: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a run's history and those of the runs below it, each under a name."""
    yield history["template"] if "template" in history else history["run"][:8], history
    for child in history.get("children", ()):
        yield from runs_of(child)


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def ended(history: Mapping[str, Any]) -> RunState:
    return RunState(history["turns"][-1]["decision"]["run"])


def _as_recorded(now: Any, then: Any) -> Any:
    """Return `now` without the fields that did not exist then; what a field holds is compared whole."""
    changed = {path: _with_fields_of(then["changed"].get(path), row) for path, row in now["changed"].items()}
    lists = {name: _listed(now[name], then[name]) for name in ("starts", "children", "tells") if name in then}
    return {**{name: now[name] for name in then}, "changed": changed, **lists}


def _listed(now: list[Any], then: list[Any]) -> list[Any]:
    known = [_with_fields_of(old, new) for new, old in zip(now, then, strict=False)]
    return [*known, *now[len(then) :]]


def _with_fields_of(then: Any, now: Any) -> Any:
    """Return the fields of `now` that there were; of a child's origin too."""
    if then is None:
        return now
    found = {name: now[name] for name in then if name in now}
    if "origin" in found:
        found["origin"] = {name: now["origin"][name] for name in then["origin"] if name in now["origin"]}
    return found
