"""Waste with the addresses of the runs behind it, as the page of costs lists it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts.models import Workspace
from runs import unread
from runs.behind import NOBODYS, href, of_loss
from runs.spending import Key, Spending, waste
from runs.spending.filters import Filters


@dataclass(frozen=True, slots=True)
class Loss:
    """A kind of waste, where most of it is, and the runs behind it: `href` is "" where only its places have such."""

    line: waste.Line
    href: str
    places: Sequence[tuple[str, int, str]]


def losses(
    workspace: Workspace, filters: Filters, by_place: Mapping[Key, Spending], names: Mapping[str, str]
) -> list[Loss]:
    """Return every kind of waste among these places (`waste.BY`), the dearest first; `names` are the pipelines'."""
    unread_steps = unread_of(workspace, filters, by_place)
    return [_loss(filters, line, names) for line in waste.waste(by_place, unread=unread_steps)]


def _loss(filters: Filters, line: waste.Line, names: Mapping[str, str]) -> Loss:
    kept, figure = of_loss(filters, line.kind)
    # Several steps of several pipelines have no address together; each is listed.
    address = "" if line.kind is waste.Kind.UNREAD else href(kept, figure)
    return Loss(line, address, [place_of(kept, place, names, figure) for place in line.places])


def place_of(filters: Filters, place: waste.Place, names: Mapping[str, str], figure: str) -> tuple[str, int, str]:
    """Return what the page calls a step, its micro-dollars, and the address of the runs behind them."""
    pipeline = names.get(place.pipeline or "", place.pipeline or NOBODYS["pipeline"])
    kept = filters.keeping("pipeline", place.pipeline).keeping("step", place.step)
    return f"{pipeline}, {place.step or NOBODYS['step']}", place.micros, href(kept, figure)


def unread_of(workspace: Workspace, filters: Filters, by_place: Mapping[Key, Spending]) -> set[tuple[str, str]]:
    """Return the steps among these places (`waste.BY`) whose output nothing and nobody read."""
    asked = filters.asking(workspace)
    return unread.steps(workspace, sorted({key[0] for key in by_place if key[0]}), (asked.since, asked.until))
