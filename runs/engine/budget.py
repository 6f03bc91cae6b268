"""What a run and its capped steps have spent and may still spend. The worker calls this around every model call.

Integer micro-dollars. A call is reserved at the most it can cost before it is made, so that parallel calls together
cannot pass a cap; what a crash left unconfirmed keeps counting.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pipelines.graph.model import Budget, Json
from pipelines.graph.money import dollars, micros
from runs.engine import alerts, fallbacks, paths
from runs.engine.decision import Event

if TYPE_CHECKING:
    from runs.engine.scope import Step
    from runs.engine.state import Execution

RUN = ""
# How the name of a cap begins that spans runs; `runs.allowance` knows the rest.
PERIOD = "budget:"
CAPS = frozenset({"run_cap", "step_cap", "pipeline_cap", "tag_cap", "workspace_cap"})
NO_CAPS = Budget()


@dataclass(slots=True)
class Spend:
    """The counters of a run or of a capped step. `unpriced` counts the calls whose cost nobody knows, `open` those of
    `calls` that are under way.

    What begins with `held` is kept for child runs that have not ended, with `child` what ended ones used.
    """

    cost: int = 0
    reserved: int = 0
    unconfirmed: int = 0
    unpriced: int = 0
    calls: int = 0
    open: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    machine_ms: int = 0
    reserved_tokens: int = 0
    unconfirmed_tokens: int = 0
    held_cost: int = 0
    held_tokens: int = 0
    held_calls: int = 0
    held_ms: int = 0
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
        """Return the tokens that are used or may be."""
        own = self.input_tokens + self.output_tokens + self.reserved_tokens + self.unconfirmed_tokens
        return own + self.held_tokens + self.child_tokens

    @property
    def all_calls(self) -> int:
        return self.calls + self.held_calls + self.child_calls

    @property
    def all_ms(self) -> int:
        return self.machine_ms + self.child_ms

    def add(self, other: "Spend") -> None:
        """Count another's own figures, without its children's, as one's own."""
        for name in _OWN:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_NAMES = tuple(Spend.__dataclass_fields__)
_OF_CHILDREN = tuple(name for name in _NAMES if name.startswith(("held", "child")))
_OWN = tuple(name for name in _NAMES if name not in _OF_CHILDREN)


def total(spends: Iterable[Spend]) -> Spend:
    """Return what several have spent together, without their children."""
    found = Spend()
    for one in spends:
        found.add(one)
    return found


def own_part(spend: Spend) -> Spend:
    """Return what a run itself has spent, without its children."""
    return replace(spend, **dict.fromkeys(_OF_CHILDREN, 0))


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
    `whose` names a budget that is not the run's own, to begin a sentence with.
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
    whose: str = ""
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
        refusal = _beyond(cap, amount_micros, tokens) or time_is_up(cap)  # the attempt has begun within what was free
        if refusal:
            execution.refusals[path] = refusal
            return refusal
    return None


def out_of_time(execution: "Execution", path: str, after: float = 0.0) -> Refusal | None:
    """Return why no attempt may start now, or `after` so many seconds of a wait that counts: the machine time of the
    run or of a step around it is used then, or kept for child runs."""
    for cap in caps_around(execution, path):
        refusal = time_is_up(cap, with_held=True, after=after)
        if refusal:
            execution.refusals[path] = refusal
            return refusal
    return None


def seconds_left(execution: "Execution", path: str) -> float | None:
    """Return the machine seconds the tightest cap leaves, None when there is no such cap.

    Of what is only kept for child runs, and of what a run has only a part of, an attempt may use all.
    """
    left = [
        most - cap.spend.all_ms / 1000
        for cap in caps_around(execution, path)
        if (most := _most_seconds(execution, cap)) is not None
    ]
    return min(left, default=None)


def _most_seconds(execution: "Execution", cap: Cap) -> float | None:
    most, whole = cap.budget.max_seconds, execution.origin.seconds
    return max(most, whole) if cap.path == RUN and most is not None and whole is not None else most


def reserve(execution: "Execution", path: str, amount_micros: int | None, tokens: int = 0) -> None:
    """Hold the most a call can cost, on the run and on every cap around the step."""
    for spend in counters(execution, path):
        spend.reserved += amount_micros or 0
        spend.reserved_tokens += tokens
        spend.calls += 1
        spend.open += 1


def settle(execution: "Execution", path: str, reserved_micros: int | None, usage: Usage, tokens: int = 0) -> None:
    """Turn a reservation into what the call cost; the next decision announces each threshold that this crossed."""

    def settled(spend: Spend) -> None:
        _unhold(spend, reserved_micros, tokens)
        spend.cost += usage.cost or 0
        spend.unpriced += usage.cost is None
        spend.input_tokens += usage.input_tokens
        spend.output_tokens += usage.output_tokens

    move(execution, path, settled)
    if reserved_micros is not None and usage.cost is not None and usage.cost > reserved_micros:
        execution.alerts.append(alerts.above_reservation(path, reserved_micros, usage.cost))


def move(execution: "Execution", path: str, change: Callable[[Spend], None]) -> None:
    """Change the counters of the run and of each capped step around `path`, and note which thresholds that crosses."""
    for cap in caps_around(execution, path):
        before = alerts.settled(cap.spend)
        change(cap.spend)
        execution.alerts.extend(alerts.crossed(cap, before, execution.told_full))


def release(execution: "Execution", path: str, reserved_micros: int | None, tokens: int = 0) -> None:
    """Give a reservation back: the call was not made or cost nothing."""
    for spend in counters(execution, path):
        _unhold(spend, reserved_micros, tokens)
        spend.calls = max(0, spend.calls - 1)


def unconfirm(execution: "Execution", path: str, reserved_micros: int | None, tokens: int = 0) -> None:
    """Keep a lost call's reservation: the provider may have charged for it, and may have written as much."""

    def lost(spend: Spend) -> None:
        _unhold(spend, reserved_micros, tokens)
        spend.unconfirmed += reserved_micros or 0
        spend.unconfirmed_tokens += tokens

    move(execution, path, lost)


def spend_time(execution: "Execution", path: str, machine_ms: int) -> None:
    """Count an attempt's machine time."""

    def worked(spend: Spend) -> None:
        spend.machine_ms += machine_ms

    move(execution, path, worked)


def more_of(execution: "Execution", refusal: Refusal) -> int:
    """Return how much to propose to add to the cap that refused, in its unit: enough, and half as much again."""
    current = refusal.limit or int(alerts.limit(budget_of(execution, refusal.cap), refusal.what))
    return max(refusal.short, -(-current // 2), 1)


def raise_cap(execution: "Execution", cap: str, what: str, amount: int) -> None:
    """Allow more, in the cap's unit (micro-dollars, tokens, calls, seconds)."""
    caps = budget_of(execution, cap)
    more = int(alerts.limit(caps, what)) + amount
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
        execution.caps[cap] = _own_budget(execution, step) if step else NO_CAPS
    return execution.caps[cap]


def renew(execution: "Execution", step: "Step") -> None:
    """Read a step's own caps anew, with what people added: another agent may have come to carry it out."""
    execution.caps.pop(step.path, None)
    for cap, what, amount in step.record.memo.get("raised", ()):
        if cap == step.path:
            raise_cap(execution, cap, what, amount)


def _own_budget(execution: "Execution", step: "Step") -> Budget:
    """Return the step's own caps, tightened by what the agent may cost that carries it out now."""
    budget = step.node.budget or NO_CAPS
    most = _most_of(execution, fallbacks.agent_in_charge(execution, step))
    if most is None or (budget.max_cost_micros is not None and budget.max_cost_micros <= most):
        return budget
    return replace(budget, max_cost_micros=most)


def _most_of(execution: "Execution", agent: str) -> int | None:
    """Return what an agent may cost in one step, None without a cap or an agent."""
    try:
        return execution.lock.agent(agent).max_cost_micros if agent else None
    except KeyError:
        return None


def is_counted(execution: "Execution", path: str) -> bool:
    """Tell whether a step's spending is counted on it: it has caps, or somebody with a cap may come to stand in."""
    if (budget := budget_of(execution, path)) is not NO_CAPS and budget != NO_CAPS:
        return True
    step = execution.live[path]
    return bool(step.node.on_error.fallback) and any(
        _most_of(execution, agent) is not None for agent in fallbacks.stand_ins(step)
    )


def _capped(execution: "Execution", path: str) -> Iterator[str]:
    """Yield the run and then each step around `path`, and itself, whose spending is counted."""
    yield RUN
    for around in (*reversed(tuple(paths.containers_of(path))), path):
        if around in execution.live and is_counted(execution, around):
            yield around


def caps_around(execution: "Execution", path: str) -> Iterator[Cap]:
    """Yield the run's caps and then those of each step around `path`, and of itself, whose spending is counted."""
    for cap in _capped(execution, path):
        code = "run_cap" if cap == RUN else "step_cap"
        yield Cap(cap, budget_of(execution, cap), execution.spend_of(cap), code)


def counters(execution: "Execution", path: str) -> Iterator[Spend]:
    """Yield the counters of the run and of each step around `path`, and of itself, that has some."""
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


def time_is_up(cap: Cap, *, with_held: bool = False, after: float = 0.0) -> Refusal | None:
    """Return the refusal of a cap whose machine seconds are used, or would be `after` so many more, or `with_held`,
    kept for child runs that go on."""
    most, spend = cap.budget.max_seconds, cap.spend
    used = spend.all_ms + round(after * 1000)
    taken = used + (spend.held_ms if with_held else 0)
    if most is None or taken < most * 1000:
        return None
    whose = "the run" if cap.path == RUN else f"the step {cap.path}"
    message = f"All {most:g} seconds of machine time that {whose} may use are used."
    if after and spend.all_ms < most * 1000:
        message = (
            f"What this step calls is left alone for another {after:.0f} seconds; {whose} has "
            f"{most - spend.all_ms / 1000:g} left of the {most:g} seconds of machine time that it may use."
        )
    figures = (int(taken - most * 1000) // 1000 + 1, int(most), spend.all_ms // 1000, max(1, round(after)))
    return Refusal(cap.code, message, cap.path, "seconds", *figures, is_held=used < most * 1000)


def _unhold(spend: Spend, reserved: int | None, tokens: int) -> None:
    spend.reserved = max(0, spend.reserved - (reserved or 0))
    spend.reserved_tokens = max(0, spend.reserved_tokens - tokens)
    spend.open = max(0, spend.open - 1)


def alert_at_end(execution: "Execution", refusal: Refusal) -> tuple[Event, alerts.Told] | None:
    """Return the alert that all of a cap is used up, and what to remember of it, if it is to be told now."""
    if refusal.cap.startswith(PERIOD) or refusal.code not in CAPS:
        return None
    caps, spend = budget_of(execution, refusal.cap), execution.spend_of(refusal.cap)
    return alerts.at_end(caps, spend, refusal, execution.told_full)


def proposal(what: str, amount: int) -> dict[str, object]:
    """Return what a person is asked to allow, as the payload of the question."""
    return {"add_usd": dollars(amount)} if what == "cost" else {f"add_{what}": amount}


def in_units(what: str, payload: object, proposed: int) -> int:
    """Return the amount that was allowed: what the answer says, else what was proposed."""
    said = payload.get("add_usd" if what == "cost" else f"add_{what}") if isinstance(payload, dict) else None
    if what == "cost":
        return micros(said) if isinstance(said, str) else proposed
    return said if isinstance(said, int) and said > 0 else proposed
