"""The page behind a number: the runs that it is the sum of, or the days of it where the runs are too many to read."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from accounts.errors import Invalid
from accounts.models import Workspace
from runs import losses
from runs.behind import NOBODYS, begun, href, names_of
from runs.models import Run
from runs.spending import Question, Spending, ask, chargeback, charged, drill, waste
from runs.spending.filters import MOST_DAYS, NONE, Filters, values_of

NUMBERS = ("figure", "begun", "hour", "share", "over")
LASTING = ("figure", "begun", "share")
"""What a number stays when another period is chosen."""
OTHERS = (*NUMBERS, "page")
PAGE = 100
MOST_PAGES = 1_000
STATES: Mapping[str, Mapping[str, object]] = {
    "all": {},
    "succeeded": {"state": "succeeded"},
    "failed": {"state": "failed"},
    "cancelled": {"state": "cancelled"},
    "capped": {"capped": 1},
}
FIGURES = {
    "cost": "Spent",
    "unconfirmed": "Unconfirmed",
    "saved": "Saved by kept results",
    "retried": "Asked again after a failure",
    "repaired": "Asked again: the answer did not fit",
    "unused": "Steps that came to nothing",
    "looped": "Second and later rounds",
    "rest": "Cost beside retries and repairs",
    "first": "Outputs that nothing and nobody read",
    "wasted": "Waste",
    "tagged": "Spent by runs with a tag",
    "charged": "Charged to a tag",
    "carried": "Carried by other tags",
    "calls": "Model calls",
    "unpriced": "Calls with an unknown price",
    "runs": "Runs with model calls",
}
COUNTED = ("calls", "unpriced", "runs")
BEGUN = {
    "all": "Runs begun",
    "succeeded": "Runs that delivered",
    "failed": "Runs that failed",
    "cancelled": "Runs that were cancelled",
    "capped": "Runs stopped at a cap",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A run and its part of the number; `amount` is None where the number counts runs, or its price is unknown."""

    run: Run
    amount: int | None
    spending: Spending


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a number with too many runs to list: a day's, or a kind of waste's."""

    name: str
    amount: int | None
    href: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a number is the sum of: `lines`, or `parts` where its runs are too many. `total` is the number itself, None
    where it is money of calls without any known price.

    `counts` says that the number counts things, runs or calls, and is no money. `removed` is the part of runs whose
    calls retention has removed.
    """

    title: str
    figure: str
    total: int | None
    counts: bool
    count: int
    removed: int = 0
    page: int = 1
    more: str = ""
    lines: Sequence[Line] = ()
    parts: Sequence[Part] = ()
    cut: str = "day"

    @property
    def has_own_amounts(self) -> bool:
        """Tell whether a run's part is something else than what it cost here, or the run itself."""
        return self.figure not in ("", "cost", "runs", "calls")


def listed(workspace: Workspace, filters: Filters, given: Mapping[str, str], most: int = PAGE) -> Found:
    """Return what is behind the number that a query names (OTHERS), so many runs of it.

    Raise Invalid for a figure, a state or a page that there is not.
    """
    page = page_of(given)
    if "begun" in given:
        return _begun(workspace, filters, _known(given["begun"], BEGUN, "begun"), (page, most))
    figure = _known(given.get("figure", "cost"), FIGURES, "figure")
    if figure in charged.FIGURES:
        return _charged(workspace, filters, given, (page, most))
    question, hour = _within(filters.asking(workspace), given.get("hour", ""))
    whole = ask(question).total
    if whole.calls > drill.MOST_CALLS and len(filters.days) > 1 and not hour:
        return _kinds(workspace, filters) if figure == drill.WASTED else _days(workspace, filters, figure, whole)
    unread = _unread(workspace, filters) if figure == drill.WASTED else ()
    found = drill.parts(question, figure, most, most * (page - 1), unread)
    beside = {"hour": given["hour"]} if hour else {}
    more = href(filters, figure, page=str(page + 1), **beside) if found.count > most * page else ""
    return _found(workspace, f"{FIGURES[figure]}{hour}", (figure, page, more), found)


def _found(workspace: Workspace, title: str, at: tuple[str, int, str], found: drill.Parts) -> Found:
    figure, page, more = at
    amounts = {part.run_id: part for part in found.runs}
    lines = [Line(run, amounts[run.pk].amount, amounts[run.pk].spending) for run in _runs(workspace, list(amounts))]
    removed = found.removed if page == 1 else 0
    return Found(title, figure, found.total, figure in COUNTED, found.count, removed, page, more, lines)


def _charged(workspace: Workspace, filters: Filters, given: Mapping[str, str], part: tuple[int, int]) -> Found:
    """Return what is behind a figure of a tag on the page of chargeback.

    A share of several days is no sum of shares of each: so a day has what the share `over` the days before it grew by.
    """
    (page, most), figure, over = part, given["figure"], _over(filters, given)
    before = filters.within(over, filters.first - dt.timedelta(days=1)) if over < filters.first else None
    (tag,) = values_of("tag", [given.get("share") or NONE])
    asked = charged.Asked(figure, tag, charged.lines_of(before.asking(workspace)) if before else {})
    title = f"{FIGURES[figure]}: {NOBODYS['tag'] if tag is None else tag}"
    beside = {"share": NONE if tag is None else tag, "over": over.isoformat()}
    lines = charged.lines_of(filters.asking(workspace))
    if sum(one.calls for key, one in lines.items() if asked.has(key)) > drill.MOST_CALLS and len(filters.days) > 1:
        by_day = asked.by_day(ask(filters.asking(workspace, "day", *chargeback.BY, with_total=False)).lines)
        days = [
            Part(day, micros, href(filters.keeping("day", day), figure, **beside))
            for day, micros in by_day.items()
            if micros
        ]
        return Found(title, figure, asked.total(lines), counts=False, count=0, parts=days)
    found = charged.parts(filters.asking(workspace), asked, most, most * (page - 1))
    more = href(filters, figure, **beside, page=str(page + 1)) if found.count > most * page else ""
    return _found(workspace, title, (figure, page, more), found)


def _over(filters: Filters, given: Mapping[str, str]) -> dt.date:
    """Return the first day of the period that is shared as a whole."""
    text = given.get("over", "")
    if not text:
        return filters.first
    try:
        found = dt.date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not dt.timedelta(0) <= filters.first - found < dt.timedelta(days=MOST_DAYS):
        message = "`over` is the first day of a charged period, as 2026-11-01."
        raise Invalid(message, code="bad_time", where="/over")
    return found


def _kinds(workspace: Workspace, filters: Filters) -> Found:
    """Return the kinds of waste: what nothing read has no address for several steps, so each has its own."""
    by_place = ask(filters.asking(workspace, *waste.BY, with_total=False)).lines
    names = names_of(workspace)
    found = losses.losses(workspace, filters, by_place, names)
    kinds: list[tuple[str, int, str]] = []
    for loss in found:
        places = [(f"{loss.line.name}: {text}", micros, to) for text, micros, to in loss.places]
        kinds += [(loss.line.name, loss.line.micros, loss.href)] if loss.href else places
    total = sum(loss.line.micros for loss in found)
    parts = [Part(*kind) for kind in kinds if kind[1]]
    return Found(FIGURES["wasted"], "wasted", total, counts=False, count=0, parts=parts, cut="kind")


def _unread(workspace: Workspace, filters: Filters) -> set[tuple[str, str]]:
    lines = ask(filters.asking(workspace, *waste.BY, with_total=False)).lines
    return losses.unread_of(workspace, filters, lines)


def _within(question: Question, hour: str) -> tuple[Question, str]:
    """Return the question about one hour, if one is named, and how a title says it."""
    if not hour:
        return question, ""
    try:
        begins = dt.datetime.fromisoformat(hour).astimezone(question.zone)
    except (ValueError, OverflowError):
        begins = None
    if begins is None or not question.since <= begins < question.until:
        raise Invalid("`hour` is a moment of the period, as 2026-11-20T14:00:00Z.", code="bad_time", where="/hour")
    ends = begins + dt.timedelta(hours=1)
    return replace(question, since=begins, until=ends), f", {begins:%-d %b %H:%M} – {ends:%H:%M}"


def _begun(workspace: Workspace, filters: Filters, state: str, part: tuple[int, int]) -> Found:
    page, most = part
    count, ids = drill.begun(begun(workspace, filters, **STATES[state]), most, most * (page - 1))
    more = href(filters, begun=state, page=str(page + 1)) if count > most * page else ""
    lines = [Line(run, None, Spending(cost=_cost(run), calls=run.llm_calls)) for run in _runs(workspace, ids)]
    return Found(BEGUN[state], "", count, counts=True, count=count, page=page, more=more, lines=lines)


def _days(workspace: Workspace, filters: Filters, figure: str, whole: Spending) -> Found:
    lines = ask(filters.asking(workspace, "day", with_total=False)).lines
    days = [
        Part(str(day), drill.amount(one, figure), href(filters.keeping("day", day), figure))
        for (day,), one in lines.items()
    ]
    total = drill.amount(whole, figure)
    return Found(
        FIGURES[figure], figure, total, figure in COUNTED, whole.runs, parts=[day for day in days if day.amount != 0]
    )


def _runs(workspace: Workspace, ids: Sequence[UUID]) -> list[Run]:
    """Return these runs in this order. One query."""
    rows = Run.objects.filter(workspace=workspace, pk__in=ids).select_related("pipeline", "started_by")
    found = {run.pk: run for run in rows.defer("input", "output", "origin", "error")}
    return [found[pk] for pk in ids if pk in found]


def _cost(run: Run) -> int | None:
    return None if run.unpriced_calls and not run.cost_micros else run.cost_micros


def _known(text: str, of: Mapping[str, str], name: str) -> str:
    if text not in of:
        raise Invalid(f"`{name}` is one of {', '.join(of)}.", code="unknown_figure", where=f"/{name}")
    return text


def page_of(given: Mapping[str, str]) -> int:
    """Return which page a query wants; raise Invalid for one that there is not."""
    text = given.get("page", "1")
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= MOST_PAGES):
        raise Invalid(f"`page` is a number from 1 to {MOST_PAGES}.", code="unknown_page", where="/page")
    return int(text)
