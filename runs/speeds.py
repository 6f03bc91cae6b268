"""How long runs and steps took and how they ended, as the page of speeds lists them, and the runs behind a time."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.urls import reverse

from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.models import Pipeline
from runs.behind import names_of
from runs.models import Run
from runs.spending import latency
from runs.spending.durations import PEOPLE, RUN, WORK
from runs.spending.filters import Filters
from runs.spending.latency import Place, Spot, Times

OTHERS = ("kind", "part", "state")
PAGE = 100
MOST_TIMES = 20_000
"""With more of them in several days, the days are shown first."""
PARTS = {WORK: "Time of the machine", PEOPLE: "Waiting for people"}
STATES = {"succeeded": "Completed", "failed": "Failed"}


@dataclass(frozen=True, slots=True)
class Line:
    """A place with the addresses of the runs behind its times, and behind how many of them ended so.

    What has a time of work is what ended, so that both have one address.
    """

    name: str
    place: Place
    work: str
    people: str
    states: Sequence[tuple[float | None, int, str]]


@dataclass(frozen=True, slots=True)
class Speeds:
    """How long runs and steps took and how they ended; `runs` are the lines of whole pipelines."""

    runs: Sequence[Line]
    steps: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Slow:
    """A run with its longest time of a place, in seconds."""

    run: Run
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind a time: runs, the slowest first, or days where they are too many. `times` is what is told of all.

    Runs that retention has trimmed are in the times and not in the list; `removed` is how many times they had.
    """

    name: str
    spot: Spot
    times: Times
    count: int = 0
    lines: Sequence[Slow] = ()
    days: Sequence[tuple[dt.date, int, str]] = ()
    removed: int = 0
    page: int = 1
    more: str = ""

    @property
    def part(self) -> str:
        state = STATES.get(self.spot.state)
        return f"{state}: {PARTS[self.spot.part].lower()}" if state else PARTS[self.spot.part]


def speeds(workspace: Workspace, filters: Filters) -> Speeds:
    """Return the runs and steps that ended in the period, the slowest first. Two queries."""
    names = names_of(workspace)
    pipelines = [value for value in filters.only.get("pipeline", ()) if value]
    found = latency.places(workspace, filters.first, filters.last, pipelines)
    found.sort(key=lambda place: (-(place.work.p95 or 0), -(place.people.p95 or 0), place.pipeline, place.node))
    lines = [_line(filters, place, names.get(place.pipeline, place.pipeline)) for place in found]
    return Speeds([line for line in lines if not line.place.node], [line for line in lines if line.place.node])


def _line(filters: Filters, place: Place, name: str) -> Line:
    spot = Spot(place.pipeline, place.node, place.kind)
    work, people = (href(filters, replace(spot, part=part)) for part in PARTS)
    states = [
        (place.share(state), place.states.get(state, 0), href(filters, replace(spot, state=state))) for state in STATES
    ]
    return Line(name, place, work, people, states)


def href(filters: Filters, spot: Spot, **more: str) -> str:
    """Return the address of the runs behind a time."""
    kept = Filters(filters.first, filters.last, filters.by, {"pipeline": (spot.pipeline,)})
    kept = kept.keeping("step", spot.node) if spot.node else kept
    more |= {"state": spot.state} if spot.state else {}
    return f"{reverse('cost-speed-runs')}?{kept.query(kind=spot.kind, part=spot.part, **more)}"


def behind(workspace: Workspace, filters: Filters, given: Mapping[str, str], page: int = 1, most: int = PAGE) -> Behind:
    """Return what is behind the time that a query names: `pipeline`, `step` (else whole runs), `kind`, `part`,
    `state`.

    Raise Invalid where it names none.
    """
    spot = _spot(filters, given)
    span = (workspace, filters.first, filters.last)
    found_places = latency.places(*span, [spot.pipeline], spot.state)
    named = [one for one in found_places if (one.node, one.kind) == (spot.node, spot.kind)]
    times = (named[0].people if spot.part == PEOPLE else named[0].work) if named else Times()
    name = Pipeline.objects.filter(workspace=workspace, slug=spot.pipeline).values_list("name", flat=True).first()
    told = (f"{spot.node} of {name or spot.pipeline}" if spot.node else name or spot.pipeline, spot, times)
    if times.count > MOST_TIMES and len(filters.days) > 1:
        days = latency.by_day(*span, spot)
        return Behind(*told, days=[(day, count, href(filters.within(day, day), spot)) for day, count in days.items()])
    count, found, listed = latency.behind(*span, spot, (most, most * (page - 1)))
    runs = Run.objects.filter(workspace=workspace).select_related("pipeline").defer("input", "output", "origin")
    rows = runs.in_bulk([one.run_id for one in found])
    lines = [Slow(rows[one.run_id], one.times, one.seconds) for one in found if one.run_id in rows]
    more = href(filters, spot, page=str(page + 1)) if count > most * page else ""
    removed = times.count - listed if page == 1 else 0
    return Behind(*told, count=count, lines=lines, removed=removed, page=page, more=more)


def _spot(filters: Filters, given: Mapping[str, str]) -> Spot:
    pipelines, steps = filters.only.get("pipeline", ()), filters.only.get("step", ())
    if len(pipelines) != 1 or pipelines[0] is None:
        raise Invalid("Name the one `pipeline` whose times are meant.", code="unknown_value", where="/pipeline")
    part = given.get("part", WORK)
    if part not in PARTS:
        raise Invalid(f"`part` is one of {', '.join(PARTS)}.", code="unknown_figure", where="/part")
    state = given.get("state", "")
    if state not in ("", *STATES):
        raise Invalid(f"`state` is one of {', '.join(STATES)}.", code="unknown_figure", where="/state")
    node, kind = (steps[0] if steps else None) or "", given.get("kind", "" if steps else RUN)[:16]
    return Spot(pipelines[0], node, kind, part, state)
