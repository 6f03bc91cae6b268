"""What a child run may spend: its own caps, within what is left of those around the step that starts it.

What a child may spend is held on every cap around the step from its start to its end, so that a run, its children and
theirs together cannot pass a cap. Machine time is known when an attempt has ended: one that has begun may take its
child beyond what is held for it, which then asks for that too. Pure; integer micro-dollars.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.graph.model import Budget, Json
from pipelines.graph.money import dollars
from runs.engine import budget
from runs.engine.budget import Cap, Refusal, Spend
from runs.engine.state import Execution

Hold = dict[str, Json]
# A child without a cap of its own begins with this part of what is left, and asks for more when it needs it.
FIRST_PART = 20
# Of one that nobody waits for, which may outlive its parent, so that it has nobody to ask.
DETACHED_PART = 2


@dataclass(frozen=True, slots=True)
class Allotted:
    """The caps of a child. Of those of the kinds in `grows` it has less than it may have, and asks for more.

    `seconds` is the longest that an attempt in it may take where its machine time grows.
    """

    caps: Budget
    grows: tuple[str, ...] = ()
    seconds: float | None = None


def allot(execution: Execution, path: str, own: Budget, *, detached: bool = False) -> Allotted | Refusal:
    """Return the caps of a child that a step may start now, or why it may not.

    A child with a cap of its own that could not have all of it waits for those that hold the rest, if any do; else it
    gets what is left. No person can allow a child itself more than its parent has kept for it.
    """
    caps, grows = own, set[str]()
    part = DETACHED_PART if detached else FIRST_PART
    for cap in budget.caps_around(execution, path):
        refusal = budget.time_is_up(cap) or _too_little(cap, own)
        if refusal:
            execution.refusals[path] = refusal
            return refusal
        caps, shares = _within(caps, own, cap, part)
        grows |= shares
    if detached:
        return Allotted(caps)
    return Allotted(caps, tuple(sorted(grows)), budget.seconds_left(execution, path) if "seconds" in grows else None)


def more(execution: Execution, path: str, what: str, short: int) -> int:
    """Return how much more a child may have, in the unit of the cap that it reached; 0 when that is not enough."""
    field = next(name for name, unit in _UNITS.items() if unit == what)
    lefts = [left for cap in budget.caps_around(execution, path) if (left := _left(cap)[field][0]) is not None]
    room = int(min(lefts, default=short))
    return max(short, room // FIRST_PART) if room >= short else 0


def in_the_way(execution: Execution, path: str, what: str, short: int, own: Hold) -> list[Refusal]:
    """Return the caps, outermost first, that keep a child from having so much more than its `own` hold.

    `is_held`: what other children hold of the cap would be enough, so that there may be room when those have ended.
    """
    field, found = next(name for name, unit in _UNITS.items() if unit == what), []
    for cap in budget.caps_around(execution, path):
        left, held = _left(cap)[field]
        if left is None or short <= int(left):
            continue
        lacks, limit = short - int(left), int(getattr(cap.budget, field))
        others = held / _PER_UNIT.get(what, 1) - own.get(what, 0)
        whose = "the run" if cap.path == budget.RUN else f"the step {cap.path}"
        rest = f"{_amount(what, max(0, int(left)))} is left of {whose}'s cap of {_amount(what, limit)}"
        message = f"The run that {path} started needs {_amount(what, short)} more; {rest}."
        figures = (lacks, limit, limit - int(left), short)
        found.append(Refusal(cap.code, message, cap.path, what, *figures, is_held=lacks <= others))
    return found


def hold_of(caps: Budget) -> Hold:
    """Return what is kept for a child with these caps."""
    return {what: getattr(caps, field) or 0 for field, what in _UNITS.items()}


def keep(execution: Execution, path: str, hold: Hold) -> None:
    for spend in budget.counters(execution, path):
        _move(spend, hold, 1)


def settle(execution: Execution, path: str, hold: Hold, spent: Mapping[str, int]) -> None:
    """Turn what was kept for a child into what it used; the next decision announces each threshold this crossed."""

    def ended(spend: Spend) -> None:
        _move(spend, hold, -1)
        count(spend, spent)

    budget.move(execution, path, ended)


def count(spend: Spend, spent: Mapping[str, int]) -> None:
    """Count what children of a step used."""
    spend.child_cost += spent["cost"]
    spend.child_tokens += spent["tokens"]
    spend.child_calls += spent["calls"]
    spend.child_ms += spent["machine_ms"]


def recount(spend: Spend, children: Mapping[str, Json]) -> None:
    """Count what a step remembers of its children, ended and under way, after a restart."""
    if children.get("spent"):
        count(spend, children["spent"])
    for child in children["live"].values():
        _move(spend, child["hold"], 1)


def used_by(spend: Spend) -> dict[str, int]:
    """Return what a run that ends tells its parent: the most that it and its children can have used."""
    return {
        "cost": spend.committed,
        "paid": spend.spent,
        "tokens": spend.tokens,
        "calls": spend.all_calls,
        "machine_ms": spend.all_ms,
    }


def _move(spend: Spend, hold: Hold, sign: int) -> None:
    spend.held_cost += sign * hold.get("cost", 0)
    spend.held_tokens += sign * hold.get("tokens", 0)
    spend.held_calls += sign * hold.get("calls", 0)
    spend.held_ms += sign * round(hold.get("seconds", 0) * 1000)


def _left(cap: Cap) -> dict[str, tuple[float | None, int]]:
    """Return by field of the budget what is left of a cap (None: no such cap), and what children hold of it."""
    caps, spend = cap.budget, cap.spend
    return {
        "max_cost_micros": (_minus(caps.max_cost_micros, spend.committed), spend.held_cost),
        "max_tokens": (_minus(caps.max_tokens, spend.tokens), spend.held_tokens),
        "max_llm_calls": (_minus(caps.max_llm_calls, spend.all_calls), spend.held_calls),
        "max_seconds": (_minus(caps.max_seconds, (spend.all_ms + spend.held_ms) / 1000), spend.held_ms),
    }


def _minus(cap: float | None, used: float) -> float | None:
    return None if cap is None else cap - used


def _amount(what: str, amount: int) -> str:
    return f"${dollars(amount)}" if what == "cost" else f"{amount} {what}"


_UNITS = {"max_cost_micros": "cost", "max_tokens": "tokens", "max_llm_calls": "calls", "max_seconds": "seconds"}
# What children hold of machine time is counted in milliseconds.
_PER_UNIT = {"seconds": 1000}


def _too_little(cap: Cap, own: Budget) -> Refusal | None:
    for field, (left, held) in _left(cap).items():
        if left is None:
            continue
        short = max((getattr(own, field) or 1) - left, 0)
        if left <= 0 or (short and held):
            whose = "the run" if cap.path == budget.RUN else f"the step {cap.path}"
            message = f"Nothing is left of the cap of {whose} for another run."
            return Refusal(cap.code, message, cap.path, _UNITS[field], max(math.ceil(short), 1), is_held=held > 0)
    return None


def _within(caps: Budget, own: Budget, cap: Cap, part: int) -> tuple[Budget, set[str]]:
    """Return caps no wider than what is left of another, and the kinds of which it is only a part of that."""
    found: dict[str, Json] = {}
    shares: set[str] = set()
    for field, (left, _) in _left(cap).items():
        if left is not None:
            is_shared = getattr(own, field) is None
            found[field] = _least(getattr(caps, field), min(max(left // part, 1), left) if is_shared else left)
            if is_shared:
                shares.add(_UNITS[field])
    if found and caps.on_exceed == "ask_human":
        found["on_exceed"] = "stop"
    return replace(caps, **found), shares


def _least(own: float | None, left: float) -> float:
    return left if own is None else min(own, left)
