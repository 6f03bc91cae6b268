"""Alerts: which shares of a cap are used up, each told once per cap, whatever the cap counts."""

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING

from pipelines.graph.model import Budget, Json
from pipelines.graph.money import dollars
from runs.engine.decision import Event

if TYPE_CHECKING:
    from runs.engine.budget import Cap, Refusal, Spend

FULL = 1.0
# A cap of which somebody was told that nothing is left: the step's path ("" for the run), its size then, and, for any
# other cap than money, what it counts.
Told = tuple[str, float] | tuple[str, float, str]

_FIELDS = {"cost": "max_cost_micros", "tokens": "max_tokens", "calls": "max_llm_calls", "seconds": "max_seconds"}


def limit(budget: Budget, what: str) -> float:
    """Return a cap in its unit (micro-dollars, tokens, calls, seconds), 0 where there is none."""
    return float(getattr(budget, _FIELDS[what]) or 0)


def settled(spend: "Spend") -> dict[str, float]:
    """Return what is used for good of each kind of cap, in its unit: without what open calls and children hold."""
    return {
        "cost": spend.spent,
        "tokens": spend.input_tokens + spend.output_tokens + spend.child_tokens,
        "calls": spend.calls - spend.open + spend.child_calls,
        "seconds": spend.all_ms / 1000,
    }


def crossed(cap: "Cap", before: Mapping[str, float], told: Container[Told]) -> Iterator[Event]:
    """Yield an event for each threshold of a cap that was crossed since `before`; those in `told` were told already."""
    for what, after in settled(cap.spend).items():
        most = limit(cap.budget, what)
        for share in sorted(cap.budget.alert_at) if most else ():
            threshold = int(most * share) if what == "cost" else most * share
            if before[what] < threshold <= after and not (share == FULL and _told(cap.path, what, most) in told):
                yield Event("budget_alert", cap.path or None, _payload(share, what, after, most))


def at_end(budget: Budget, spend: "Spend", refusal: "Refusal", told: set[Told]) -> tuple[Event, Told] | None:
    """Return the alert that all of a cap is used up, and what to remember of it, when a call was refused for it and
    nobody was told yet.

    A cap is seldom spent to the last cent: what is left of it does not do for the next call.
    """
    if refusal.what not in _FIELDS:
        return None
    most, used = limit(budget, refusal.what), settled(spend)[refusal.what]
    full = _told(refusal.cap, refusal.what, most)
    if not most or FULL not in budget.alert_at or full in told or used >= most:
        return None
    told.add(full)
    payload = {**_payload(FULL, refusal.what, used, most), "refused": True}
    return Event("budget_alert", refusal.cap or None, payload), full


def above_reservation(path: str, reserved: int, cost: int) -> Event:
    payload = {"above_reservation": True, "reserved_usd": dollars(reserved), "cost_usd": dollars(cost)}
    return Event("budget_alert", path, payload)


def _told(path: str, what: str, most: float) -> Told:
    return (path, most) if what == "cost" else (path, most, what)


def _payload(share: float, what: str, used: float, most: float) -> dict[str, Json]:
    if what == "cost":
        return {"at": share, "spent_usd": dollars(int(used)), "cap_usd": dollars(int(most))}
    return {"at": share, "what": what, "used": _round(used), "cap": _round(most)}


def _round(amount: float) -> float:
    return int(amount) if amount == int(amount) else round(amount, 1)
