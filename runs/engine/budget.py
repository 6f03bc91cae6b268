"""What a run and its capped steps have spent and may still spend. The worker calls this around every model call.

Integer micro-dollars. A call is reserved at the most it can cost before it is made, so that parallel calls together
cannot pass a cap; what a crash left unconfirmed keeps counting.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pipelines.graph.model import Budget, Json, Kind
from pipelines.graph.money import dollars, micros
from runs.engine import paths
from runs.engine.decision import Event

if TYPE_CHECKING:
    from runs.engine.state import Execution

RUN = ""
# How the name of a cap begins that spans runs; `runs.allowance` knows the rest.
PERIOD = "budget:"
FULL = 1.0


@dataclass(slots=True)
class Spend:
    """The counters of a run or of a capped step. `unpriced` counts the calls whose cost nobody knows.

    What begins with `held` is kept for child runs that have not ended, with `child` what ended ones used.
    """

    cost: int = 0
    reserved: int = 0
    unconfirmed: int = 0
    unpriced: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    machine_ms: int = 0
    reserved_tokens: int = 0
    held_cost: int = 0
    held_tokens: int = 0
    held_calls: int = 0
    child_cost: int = 0
    child_tokens: int = 0
    child_calls: int = 0
    child_ms: int = 0

    @property
    def spent(self) -> int:
        """Return the money that is gone, children's included."""
        return self.cost + self.child_cost

    @property
    def committed(self) -> int:
        """Return the money that is gone or may be gone."""
        return self.spent + self.reserved + self.unconfirmed + self.held_cost

    @property
    def tokens(self) -> int:
        own = self.input_tokens + self.output_tokens + self.reserved_tokens
        return own + self.held_tokens + self.child_tokens

    @property
    def all_calls(self) -> int:
        return self.calls + self.held_calls + self.child_calls

    @property
    def all_ms(self) -> int:
        return self.machine_ms + self.child_ms

    def add(self, other: "Spend") -> None:
        """Count another's settled figures as one's own."""
        for name in ("cost", "reserved", "unconfirmed", "unpriced", "calls", "input_tokens", "output_tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def own_part(spend: Spend) -> Spend:
    """Return what a run itself has spent, without its children."""
    names = [name for name in Spend.__dataclass_fields__ if name.startswith(("held", "child"))]
    return replace(spend, **dict.fromkeys(names, 0))


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answered call used; `cost` is micro-dollars, None when its price is unknown."""

    cost: int | None
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call must not be made. `cap` is the capped step's path, "" for the run, or names a budget of a day or
    month (`PERIOD`); `what` is the kind of cap.

    `limit` is the cap, `used` what is gone or held of it, `asked` what the call might take and `short` what the cap
    lacks for it, in the cap's unit. `on_exceed` says what to do where the run does not know the cap itself.
    `is_held`: only child runs that have not ended stand in the way, so that there may be room when they have.
    """

    code: str
    message: str
    cap: str
    what: str
    short: int = 0
    limit: int = 0
    used: int = 0
    asked: int = 0
    on_exceed: str | None = None
    is_held: bool = False

    def as_json(self) -> dict[str, Json]:
        """Return the receipt's part about the cap: money in dollars as text, anything else in its unit."""
        shown = dollars if self.what in ("cost", "price") else int
        figures = {"limit": self.limit, "used": self.used, "asked": self.asked}
        return {"cap": self.cap or "run", "what": self.what, **{name: shown(size) for name, size in figures.items()}}


class Cap(NamedTuple):
    path: str
    budget: Budget
    spend: Spend
    code: str


def admit(execution: "Execution", path: str, amount_micros: int | None, tokens: int = 0) -> Refusal | None:
    """Return why a step's next call would pass a cap, or None. `amount_micros` None: its price is unknown."""
    for cap in caps_around(execution, path):
        refusal = _beyond(cap, amount_micros, tokens) or time_is_up(cap)
        if refusal:
            execution.refusals[path] = refusal
            return refusal
    return None


def out_of_time(execution: "Execution", path: str) -> Refusal | None:
    """Return why no attempt may start any more: the machine time of the run or of a step around it is used up."""
    for cap in caps_around(execution, path):
        refusal = time_is_up(cap)
        if refusal:
            execution.refusals[path] = refusal
            return refusal
    return None


def seconds_left(execution: "Execution", path: str) -> float | None:
    """Return the machine seconds the tightest cap leaves, None when there is no such cap."""
    left = [
        cap.budget.max_seconds - cap.spend.all_ms / 1000
        for cap in caps_around(execution, path)
        if cap.budget.max_seconds is not None
    ]
    return min(left, default=None)


def reserve(execution: "Execution", path: str, amount_micros: int | None, tokens: int = 0) -> None:
    """Hold the most a call can cost, on the run and on every cap around the step."""
    execution.holds.setdefault(path, []).append(tokens)
    for spend in counters(execution, path):
        spend.reserved += amount_micros or 0
        spend.reserved_tokens += tokens
        spend.calls += 1


def settle(execution: "Execution", path: str, reserved_micros: int | None, usage: Usage) -> None:
    """Turn a reservation into what the call cost; the next decision announces each threshold that this crossed."""
    tokens = _drop_hold(execution, path)
    for cap in caps_around(execution, path):
        execution.alerts.extend(alerts(cap, usage.cost or 0, execution.told_full))
    if reserved_micros is not None and usage.cost is not None and usage.cost > reserved_micros:
        execution.alerts.append(_above_reservation(path, reserved_micros, usage.cost))
    for spend in counters(execution, path):
        _unhold(spend, reserved_micros, tokens)
        spend.cost += usage.cost or 0
        spend.unpriced += usage.cost is None
        spend.input_tokens += usage.input_tokens
        spend.output_tokens += usage.output_tokens


def release(execution: "Execution", path: str, reserved_micros: int | None) -> None:
    """Give a reservation back: the call was not made or cost nothing."""
    tokens = _drop_hold(execution, path)
    for spend in counters(execution, path):
        _unhold(spend, reserved_micros, tokens)
        spend.calls = max(0, spend.calls - 1)


def unconfirm(execution: "Execution", path: str, reserved_micros: int | None) -> None:
    """Keep a lost call's reservation: the provider may have charged for it."""
    tokens = _drop_hold(execution, path)
    for spend in counters(execution, path):
        _unhold(spend, reserved_micros, tokens)
        spend.unconfirmed += reserved_micros or 0


def spend_time(execution: "Execution", path: str, machine_ms: int) -> None:
    """Count an attempt's machine time."""
    for spend in counters(execution, path):
        spend.machine_ms += machine_ms


def more_of(execution: "Execution", refusal: Refusal) -> int:
    """Return how much to propose to add to the cap that refused, in its unit: enough, and half as much again."""
    current = refusal.limit or _limit(budget_of(execution, refusal.cap), refusal.what)
    return max(refusal.short, -(-current // 2), 1)


def raise_cap(execution: "Execution", cap: str, what: str, amount: int) -> None:
    """Allow more, in the cap's unit (micro-dollars, tokens, calls, seconds)."""
    caps = budget_of(execution, cap)
    more = _limit(caps, what) + amount
    match what:
        case "cost":
            caps = replace(caps, max_cost_micros=more)
        case "tokens":
            caps = replace(caps, max_tokens=more)
        case "calls":
            caps = replace(caps, max_llm_calls=more)
        case _:
            caps = replace(caps, max_seconds=more)
    execution.caps[cap] = caps


def budget_of(execution: "Execution", cap: str) -> Budget:
    """Return the present caps of the run ("") or of a step."""
    if cap not in execution.caps:
        step = execution.live.get(cap)
        execution.caps[cap] = _own_budget(execution, cap) if step else Budget()
    return execution.caps[cap]


_FIELDS = {"cost": "max_cost_micros", "tokens": "max_tokens", "calls": "max_llm_calls", "seconds": "max_seconds"}


def _limit(budget: Budget, what: str) -> int:
    return int(getattr(budget, _FIELDS[what]) or 0)


def _own_budget(execution: "Execution", path: str) -> Budget:
    """Return the step's own caps, tightened by what its agent may cost."""
    node = execution.live[path].node
    budget = node.budget or Budget()
    if node.kind is not Kind.AGENT:
        return budget
    try:
        most = execution.lock.agent(str(node.config.get("agent"))).max_cost_micros
    except KeyError:
        return budget
    if most is None or (budget.max_cost_micros is not None and budget.max_cost_micros <= most):
        return budget
    return replace(budget, max_cost_micros=most)


def _capped(execution: "Execution", path: str) -> Iterator[str]:
    """Yield the run and then each step around `path`, and itself, that has caps."""
    yield RUN
    for around in (*reversed(tuple(paths.containers_of(path))), path):
        if around in execution.live and budget_of(execution, around) != NO_CAPS:
            yield around


NO_CAPS = Budget()


def caps_around(execution: "Execution", path: str) -> Iterator[Cap]:
    """Yield the run's cap and then those of each step around `path`, and of itself, that has some."""
    for cap in _capped(execution, path):
        code = "run_cap" if cap == RUN else "step_cap"
        yield Cap(cap, budget_of(execution, cap), execution.spend_of(cap), code)


def counters(execution: "Execution", path: str) -> Iterator[Spend]:
    """Yield the counters of the run and of each capped step around `path`, and of itself."""
    return (execution.spend_of(cap) for cap in _capped(execution, path))


def _beyond(cap: Cap, amount: int | None, tokens: int) -> Refusal | None:
    budget, spend = cap.budget, cap.spend
    whose = "the run" if cap.path == RUN else f"the step {cap.path}"
    if budget.max_cost_micros is not None:
        if amount is None:
            message = f"The model's price is unknown, and {whose} has a cap of ${dollars(budget.max_cost_micros)}."
            message = f"{message} Set its price on the connection."
            return Refusal("price_unknown", message, cap.path, "price", 0, budget.max_cost_micros, spend.committed)
        short = spend.committed + amount - budget.max_cost_micros
        if short > 0:
            left = dollars(max(0, budget.max_cost_micros - spend.committed))
            message = f"The next call may cost ${dollars(amount)}; ${left} is left of {whose}'s cap of"
            message = f"{message} ${dollars(budget.max_cost_micros)}."
            figures = (short, budget.max_cost_micros, spend.committed, amount)
            return Refusal(cap.code, message, cap.path, "cost", *figures, is_held=short <= spend.held_cost)
    if budget.max_tokens is not None and spend.tokens + tokens > budget.max_tokens:
        message = f"The next call may use {tokens} tokens; {whose} has used {spend.tokens} of {budget.max_tokens}."
        short = spend.tokens + tokens - budget.max_tokens
        figures = (short, budget.max_tokens, spend.tokens, tokens)
        return Refusal(cap.code, message, cap.path, "tokens", *figures, is_held=short <= spend.held_tokens)
    if budget.max_llm_calls is not None and spend.all_calls >= budget.max_llm_calls:
        message = f"All {budget.max_llm_calls} model calls that {whose} may make are used."
        figures = (1, budget.max_llm_calls, spend.all_calls, 1)
        return Refusal(cap.code, message, cap.path, "calls", *figures, is_held=spend.held_calls > 0)
    return None


def time_is_up(cap: Cap) -> Refusal | None:
    """Return the refusal of a cap whose machine seconds are used."""
    most = cap.budget.max_seconds
    if most is None or cap.spend.all_ms < most * 1000:
        return None
    whose = "the run" if cap.path == RUN else f"the step {cap.path}"
    message = f"All {most:g} seconds of machine time that {whose} may use are used."
    return Refusal(cap.code, message, cap.path, "seconds", 1, int(most), cap.spend.machine_ms // 1000, 1)


def _drop_hold(execution: "Execution", path: str) -> int:
    held = execution.holds.get(path)
    tokens = held.pop(0) if held else 0
    if not held:
        execution.holds.pop(path, None)
    return tokens


def _unhold(spend: Spend, reserved: int | None, tokens: int) -> None:
    spend.reserved = max(0, spend.reserved - (reserved or 0))
    spend.reserved_tokens = max(0, spend.reserved_tokens - tokens)


def alert_at_end(execution: "Execution", refusal: Refusal) -> Event | None:
    """Return the alert that all of a cap is used up, when a call was refused for it and nobody was told yet.

    A cap is seldom spent to the last cent: what is left of it does not do for the next call.
    """
    if refusal.what != "cost" or refusal.cap.startswith(PERIOD):
        return None
    caps, spend = budget_of(execution, refusal.cap), execution.spend_of(refusal.cap)
    full = (refusal.cap, caps.max_cost_micros or 0)
    if FULL not in caps.alert_at or full in execution.told_full or spend.spent >= full[1]:
        return None
    execution.told_full.add(full)
    payload = {"at": FULL, "spent_usd": dollars(spend.spent), "cap_usd": dollars(full[1]), "refused": True}
    return Event("budget_alert", refusal.cap or None, payload)


def alerts(cap: Cap, cost: int, told_full: Container[tuple[str, int]]) -> Iterator[Event]:
    """Yield an event for each threshold of a cap that this much more money crosses; `told_full` were told already."""
    most = cap.budget.max_cost_micros
    if most is None:
        return
    before, after = cap.spend.spent, cap.spend.spent + cost
    for fraction in sorted(cap.budget.alert_at):
        threshold = int(most * fraction)
        if before < threshold <= after and not (fraction == FULL and (cap.path, most) in told_full):
            yield Event(
                "budget_alert",
                cap.path or None,
                {"at": fraction, "spent_usd": dollars(after), "cap_usd": dollars(most)},
            )


def _above_reservation(path: str, reserved: int, cost: int) -> Event:
    payload = {"above_reservation": True, "reserved_usd": dollars(reserved), "cost_usd": dollars(cost)}
    return Event("budget_alert", path, payload)


def proposal(what: str, amount: int) -> dict[str, object]:
    """Return what a person is asked to allow, as the payload of the question."""
    return {"add_usd": dollars(amount)} if what == "cost" else {f"add_{what}": amount}


def in_units(what: str, payload: object, proposed: int) -> int:
    """Return the amount that was allowed: what the answer says, else what was proposed."""
    said = payload.get("add_usd" if what == "cost" else f"add_{what}") if isinstance(payload, dict) else None
    if what == "cost":
        return micros(said) if isinstance(said, str) else proposed
    return said if isinstance(said, int) and said > 0 else proposed
