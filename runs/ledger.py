"""The books of one run while a worker owns it: what is reserved, what was spent, and the rows that say so.

Money is integer micro-dollars. Every call is reserved before it is made and settled when it answered; a call that a
crash cut off keeps its reservation as `unconfirmed`. The run's counters are moved only here, by its one owner, and
are written through the run's fence in the same commit as the rows that explain them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.engine.decision import Event


@dataclass(frozen=True, slots=True)
class CallRow:
    """What the books need to know of a call: `reserve` is None when its price is unknown."""

    key: str
    path: str
    attempt: int
    kind: str
    name: str
    reserve: int | None


@dataclass(slots=True)
class StepCost:
    cost: int = 0
    unpriced: int = 0


@dataclass(slots=True)
class Entries:
    """Rows of the present decision, and the events before it (calls that ended) and after it (calls that begin)."""

    ledger: list[dict[str, Json]] = field(default_factory=list)
    before: list[Event] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)


class Ledger:
    """Keeps each step's cost and writes the entries; the run's counters are the engine's `Spend`."""

    def __init__(self, run_id: str, costs: Mapping[str, StepCost]) -> None:
        self._run_id = run_id
        self.costs = dict(costs)
        self.entries = Entries()

    def take_entries(self) -> Entries:
        entries, self.entries = self.entries, Entries()
        return entries

    def reserved(self, call: CallRow, at: datetime) -> None:
        """Book a call that is about to be made; the engine has admitted it and moved its counters."""
        if call.kind == "model":
            self._write("reserved", call, call.reserve, at)
        payload = {"call": call.key, "kind": call.kind, "name": call.name, "reserved_usd": dollars(call.reserve)}
        self.entries.after.append(Event("call_started", call.path, payload))

    def settled(self, call: CallRow, outcome: Mapping[str, Any], at: datetime) -> None:
        """Book a call that answered. `outcome` has cost_micros, input_tokens, output_tokens, error, answered."""
        cost = outcome["cost_micros"]
        step = self.costs.setdefault(call.path, StepCost())
        if call.kind == "model":
            if cost is not None:
                step.cost += cost
                self._write("settled", call, cost, at)
            elif outcome["answered"]:
                step.unpriced += 1
                self._write("settled", call, None, at)
            if call.reserve is not None and call.reserve > (cost or 0):
                self._write("released", call, call.reserve - (cost or 0), at)
        payload = {
            "call": call.key,
            "name": call.name,
            "cost_usd": dollars(cost),
            "input_tokens": outcome["input_tokens"],
            "output_tokens": outcome["output_tokens"],
            "error": outcome["error"],
        }
        self.entries.before.append(Event("call_finished", call.path, payload))

    def unconfirmed(self, call: CallRow, at: datetime) -> None:
        """Book a call whose answer a crash lost: the provider may have charged for it."""
        if call.kind == "model":
            self._write("unconfirmed", call, call.reserve, at)
        payload = {"call": call.key, "name": call.name, "cost_usd": None, "error": {"code": "lost"}}
        self.entries.before.append(Event("call_finished", call.path, payload))

    def cache_hit(self, call: CallRow, at: datetime) -> None:
        """Book a call that was not made because its step's result was there; `reserve` is what that saved."""
        self._write("cache_hit", call, call.reserve, at)

    def _write(self, kind: str, call: CallRow, amount: int | None, at: datetime) -> None:
        self.entries.ledger.append(
            {
                "run_id": self._run_id,
                "kind": kind,
                "path": f"{call.path}@{call.attempt}",
                "call": call.key,
                "model": call.name,
                "amount_micros": amount,
                "at": at,
            }
        )
