"""What models cost in a workspace, which of them nobody knows the price of, and what past calls would cost at today's.

Everything here is read from the daily books and the price tables; nothing is called, and nothing is written.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts.access import Actor, scoped
from accounts.models import Workspace
from pipelines.graph.lock import Price
from pipelines.graph.money import price_of, rounded_up
from pipelines.library import price_changes
from pipelines.library.models import DEMO_PRICES, is_simulated
from pipelines.library.prices import price_among
from pipelines.models import AgentVersion, Connection, PriceChange
from runs import costs
from runs.spending import Question, Spending, ask

OWN, PACKAGED, SIMULATED, UNKNOWN = "own", "packaged", "simulated", "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """A model that this workspace names or called this month. `since` is None where nobody said when.

    `spending` is the month's so far.
    """

    ref: str
    source: str
    price: Price | None
    held: PriceChange | None
    next: PriceChange | None
    spending: Spending

    @property
    def connection(self) -> str:
        return self.ref.partition("/")[0]

    @property
    def model(self) -> str:
        return self.ref.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Repriced:
    """What a model's calls of some time were booked at, and what they would come to at today's price.

    `at_today` is None where the price is unknown. It counts all input in full and rounds once: what a provider read
    from its cache, and the rounding of each call, make a difference that is nobody's error.
    """

    ref: str
    price: Price | None
    spending: Spending
    at_today: int | None

    @property
    def difference(self) -> int | None:
        """None where either is unknown, also of some of the calls only."""
        booked = None if self.spending.unpriced else self.spending.cost
        return None if self.at_today is None or booked is None else self.at_today - booked


def listed(actor: Actor, now: dt.datetime) -> list[Line]:
    """Return the models in use and those with a price of the workspace's own; unknown prices first."""
    connections = connections_of(actor.workspace)
    month = costs.Period.around(actor.workspace, now).month
    spent = by_model(actor.workspace, (month, costs.LAST_MOMENT))
    own = {f"{name}/{model}" for name, row in connections.items() for model in row.prices}
    agents = scoped(AgentVersion, actor, through="agent__workspace").order_by("agent_id", "-number")
    named = {row.model for row in agents.distinct("agent_id").only("model")}
    refs = {*own, *named, *spent, *DEMO_PRICES}
    held = price_changes.in_force(actor.workspace.pk, refs)
    coming: dict[str, PriceChange] = {}
    for change in price_changes.to_come(actor):
        coming.setdefault(f"{change.connection}/{change.model}", change)
    lines = [
        Line(
            ref=ref,
            source=_source(ref, own, price := price_among(connections, ref)),
            price=price,
            held=held.get(ref),
            next=coming.get(ref),
            spending=spent.get(ref, Spending()),
        )
        for ref in {*refs, *coming}
    ]
    return sorted(lines, key=lambda line: (line.source != UNKNOWN, line.source == SIMULATED, line.ref))


def repriced(actor: Actor, between: tuple[dt.datetime, dt.datetime]) -> list[Repriced]:
    """Return what each model's calls would come to at the prices of now; a report, which changes nothing."""
    connections = connections_of(actor.workspace)
    found = []
    for ref, spending in by_model(actor.workspace, between).items():
        price = price_among(connections, ref)
        found.append(Repriced(ref, price, spending, at(price, spending)))
    return sorted(found, key=lambda one: (-abs(one.difference or 0), one.ref))


def by_model(workspace: Workspace, between: tuple[dt.datetime, dt.datetime]) -> dict[str, Spending]:
    """Return what was spent on each model in a time."""
    zone = costs.Period.around(workspace, between[0]).zone
    question = Question(workspace, ("model",), *between, zone, with_total=False)
    return {model: one for (model,), one in ask(question).lines.items() if model}


def at(price: Price | None, spending: Spending) -> int | None:
    """Return what these tokens cost at a price, in micro-dollars; None where it is unknown."""
    if price is None:
        return None
    exact = price_of(spending.input_tokens, price.input) + price_of(spending.output_tokens, price.output)
    return rounded_up(exact)


def connections_of(workspace: Workspace) -> Mapping[str, Connection]:
    return {row.name: row for row in Connection.objects.filter(workspace=workspace)}


def months(workspace: Workspace, now: dt.datetime) -> tuple[tuple[dt.datetime, dt.datetime], ...]:
    """Return the last month and the present one, each from its first moment to the next one's, in the zone's days."""
    this = costs.Period.around(workspace, now).month
    last = (this - dt.timedelta(days=1)).replace(day=1, hour=0)
    after = (this + dt.timedelta(days=32)).replace(day=1, hour=0)
    return ((last, this), (this, after))


def models_to_choose(lines: Sequence[Line]) -> list[str]:
    """Return the models whose price is known, so that a what-if can be asked about them."""
    return sorted(line.ref for line in lines if line.price is not None)


def _source(ref: str, own: set[str], price: Price | None) -> str:
    if is_simulated(ref) and price is not None:
        return SIMULATED
    if price is None:
        return UNKNOWN
    return OWN if ref in own else PACKAGED
