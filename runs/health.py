"""How pipelines are doing, and how far runs have come: what the lists of pipelines and runs show."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from accounts.access import Actor, scoped
from accounts.models import Workspace
from pipelines import homes
from pipelines.ahead import ahead
from pipelines.graph.model import Json
from pipelines.graph.money import micros
from pipelines.models import Pipeline
from runs import artifacts, family, glance
from runs.charts import Rect
from runs.costs import Period
from runs.models import OPEN_RUN_STATES, Run, Step
from runs.spending import counts
from runs.words import Badge, run_badge

DAYS = 14
HEALTH_HEIGHT = 21
_CAP = KeyTextTransform("max_cost_usd", KeyTransform("budget", "published__document"))


@dataclass(frozen=True, slots=True)
class Health:
    """One pipeline of the list. `peak_micros` is the month's dearest run, `cap_micros` the cap of a run.

    Rehearsals are runs like others in `last`, and are left out of the figures.
    """

    pipeline: Pipeline
    draft_is_ahead: bool
    bars: Sequence[Rect]
    last: "Progress | None"
    runs: int
    per_run_micros: int | None
    peak_micros: int
    cap_micros: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A run in one line: its badge, one segment per step, and what it is doing."""

    run: Run
    badge: Badge
    segments: Sequence[str] = ()
    done: int = 0
    total: int = 0
    doing: str = ""

    @property
    def about(self) -> str:
        """What the run is about: the first short text its form requires; "" where it requires none."""
        return about(artifacts.glimpse_of_input(self.run), getattr(self.run, "asked", None))

    @property
    def cap_micros(self) -> int | None:
        return cap_of(self.run)


@dataclass(slots=True)
class _Month:
    runs: int = 0
    cost: int = 0
    peak: int = 0
    days: dict[dt.date, tuple[int, int]] = field(default_factory=dict)


def cap_of(run: Run) -> int | None:
    """Return the run's own cap in micro-dollars."""
    cap = run.budget.get("max_cost_micros")
    return int(cap) if cap is not None else None


def about(given: Json, required: Json) -> str:
    """Return the first short text among the required fields of a run's input."""
    if not isinstance(given, dict) or not isinstance(required, list):
        return ""
    texts = [given.get(name) for name in required]
    return next((text for text in texts if artifacts.is_short(text)), "")


def listed(runs: "QuerySet[Run]") -> "QuerySet[Run]":
    """Return runs with what a list shows of them, in one query."""
    heavy = ("output", "version__document", "version__lock", "parent__input", "parent__output", "parent__origin")
    required = KeyTransform("required", KeyTransform("inputs", "version__document"))
    return runs.select_related("pipeline", "version", "started_by", "parent").defer(*heavy).annotate(asked=required)


def recent(actor: Actor, limit: int, **filters: object) -> "QuerySet[Run]":
    """Return the newest runs that this person sees."""
    return listed(scoped(Run, actor).filter(**filters)).order_by("-created_at")[:limit]


def progress(runs: Iterable[Run]) -> list[Progress]:
    """Return the progress of runs. At most two queries for all of them, whatever the number of their steps."""
    found = list(runs)
    family.add_up(found)
    glances = glance.of_runs([run.pk for run in found])
    return [_progress(run, glances.get(run.pk, glance.Glance())) for run in found]


def one(run: Run) -> Progress:
    """Return one run's progress."""
    return progress([run])[0]


def pipelines(actor: Actor, now: dt.datetime, *, archived: bool = False) -> list[Health]:
    """Return the pipelines that this person sees, or of them those that were archived, the last run first.

    Five queries, whatever their number; no document is read.
    """
    workspace = actor.workspace
    of_workspace = homes.of_people(scoped(Pipeline, actor)).filter(archived_at__isnull=not archived)
    heavy = ("published__document", "published__lock")
    found = list(of_workspace.select_related("published").defer(*heavy).annotate(cap_usd=_CAP))
    period = Period.around(workspace, now)
    months = _months(workspace, period)
    last = {line.run.pipeline_id: line for line in progress(_last_runs(actor))}
    differ = ahead(found)
    first_day = period.today.date() - dt.timedelta(days=DAYS - 1)
    lines = [_health(one, months.get(one.pk, _Month()), last.get(one.pk), one.pk in differ, first_day) for one in found]
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(lines, key=lambda line: line.last.run.created_at if line.last else never, reverse=True)


def of(pipeline: Pipeline, now: dt.datetime) -> Health:
    """Return one pipeline's health, without its last run."""
    period = Period.around(pipeline.workspace, now)
    month = _months(pipeline.workspace, period, pipeline_id=pipeline.pk).get(pipeline.pk, _Month())
    first_day = period.today.date() - dt.timedelta(days=DAYS - 1)
    document = pipeline.published.document if pipeline.published else {}
    pipeline.cap_usd = (document.get("budget") or {}).get("max_cost_usd")  # type: ignore[attr-defined]  # as `pipelines`
    return _health(pipeline, month, None, bool(ahead([pipeline])), first_day)


def progress_of(run: Run, steps: Sequence[Step]) -> Progress:
    """Return the progress of a run with these steps, in their order."""
    return _progress(run, glance.of_steps(steps))


def _progress(run: Run, seen: glance.Glance) -> Progress:
    badge = run_badge(run.state, run.reason, needs_person=seen.needs_person)
    return Progress(run, badge, seen.segments, seen.done, seen.total, seen.doing)


def _months(workspace: Workspace, period: Period, **only: object) -> dict[object, _Month]:
    """Return what the figures of pipelines say, by the pipeline's id, from the counts of days. One query."""
    month, since = period.month.date(), period.today.date() - dt.timedelta(days=DAYS - 1)
    runs = counts.Runs(workspace, min(month, since), {"rehearsal": False, **only})
    months: dict[object, _Month] = {}
    for (pipeline_id, day, state), found in counts.count(runs, ("pipeline", "day", "state")).items():
        one = months.setdefault(pipeline_id, _Month())
        if day >= month:
            one.runs, one.cost, one.peak = one.runs + found.runs, one.cost + found.cost, max(one.peak, found.peak)
        if day >= since:
            total, failed = one.days.get(day, (0, 0))
            one.days[day] = (total + found.runs, failed + found.runs * (state == "failed"))
    return months


def _last_runs(actor: Actor) -> "QuerySet[Run]":
    newest = scoped(Run, actor).filter(pipeline=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    ids = scoped(Pipeline, actor).filter(archived_at=None).values_list(Subquery(newest), flat=True)
    runs = Run.objects.filter(pk__in=[pk for pk in ids if pk]).select_related("pipeline", "parent")
    return runs.defer("output", "origin", "parent__input", "parent__output", "parent__origin")


def _health(pipeline: Pipeline, month: _Month, last: Progress | None, ahead: bool, first_day: dt.date) -> Health:
    cap = getattr(pipeline, "cap_usd", None)
    return Health(
        pipeline=pipeline,
        draft_is_ahead=ahead,
        bars=_bars([month.days.get(first_day + dt.timedelta(days=day), (0, 0)) for day in range(DAYS)]),
        last=last,
        runs=month.runs,
        per_run_micros=month.cost // month.runs if month.runs else None,
        peak_micros=month.peak,
        cap_micros=micros(cap) if cap else None,
    )


def _bars(days: Sequence[tuple[int, int]]) -> list[Rect]:
    """Return a bar per day: what finished in green, what failed on top in red."""
    top = max([total for total, _ in days] + [1])
    bars: list[Rect] = []
    for index, (total, failed) in enumerate(days):
        x, full = f"{index * 6}", total * (HEALTH_HEIGHT - 1) / top
        red = max(failed * (HEALTH_HEIGHT - 1) / top, 3.0) if failed else 0.0
        green = max(full - red, 0.0)
        if green > 0.4:
            bars.append(Rect("hb", x, f"{HEALTH_HEIGHT - green:.1f}", "4", f"{green:.1f}"))
        if red:
            bars.append(Rect("hf", x, f"{max(HEALTH_HEIGHT - green - red - 1, 0):.1f}", "4", f"{red:.1f}"))
        if not total:
            bars.append(Rect("hn", x, f"{HEALTH_HEIGHT - 1}", "4", "1"))
    return bars


def live(workspace: Workspace) -> int:
    """Return how many of the runs that people started have not ended."""
    return Run.objects.filter(workspace=workspace, parent=None, state__in=OPEN_RUN_STATES).count()


def states(workspace: Workspace, *, with_children: bool = False) -> Counter[str]:
    """Return how many runs of a workspace are in each state; without those that steps started, unless asked for."""
    only = {} if with_children else {"is_child": False}
    found = counts.count(counts.Runs(workspace, only=only), ("state",))
    return Counter({str(state): one.runs for (state,), one in found.items()})


def states_below(actor: Actor, run: Run) -> Counter[str]:
    """Return how many of the runs that a run's steps started are in each state, of those that this person sees."""
    rows = scoped(Run, actor).filter(parent=run).order_by().values_list("state").annotate(Count("id"))
    return Counter(dict(rows))
