"""How pipelines are doing, and how far runs have come: what the lists of pipelines and runs show."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import TruncDate

from accounts.models import Workspace
from pipelines.graph.model import Json
from pipelines.graph.money import micros
from pipelines.models import Draft, Pipeline
from runs import family
from runs.charts import Rect
from runs.costs import Period
from runs.engine.status import StepState
from runs.models import OPEN_RUN_STATES, Run, Step
from runs.words import PERSON_WAITS, Badge, badge_of, run_badge

DAYS = 14
SHORT = 60
SEGMENTS = 12
HEALTH_HEIGHT = 21


@dataclass(frozen=True, slots=True)
class Health:
    """One pipeline of the list. `peak_micros` is the month's dearest run, `cap_micros` the cap of a run."""

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
        return about(self.run.input, getattr(self.run, "asked", None))

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
    return next((text for text in texts if isinstance(text, str) and 0 < len(text) <= SHORT), "")


def with_person_waits(runs: "QuerySet[Run]") -> "QuerySet[Run]":
    """Add `needs_person` to runs: one of their steps waits for somebody."""
    waiting = Step.objects.filter(run=OuterRef("pk"), state=StepState.WAITING, wait_reason__in=PERSON_WAITS)
    return runs.annotate(needs_person=Exists(waiting))


def listed(runs: "QuerySet[Run]") -> "QuerySet[Run]":
    """Return runs with what a list shows of them, in one query."""
    heavy = ("output", "version__document", "version__lock", "parent__input", "parent__output", "parent__origin")
    required = KeyTransform("required", KeyTransform("inputs", "version__document"))
    return with_person_waits(runs.select_related("pipeline", "version", "started_by", "parent").defer(*heavy)).annotate(
        asked=required
    )


def recent(workspace: Workspace, limit: int, **filters: object) -> "QuerySet[Run]":
    """Return the newest runs of a workspace."""
    return listed(Run.objects.filter(workspace=workspace, **filters)).order_by("-created_at")[:limit]


def progress(runs: Iterable[Run]) -> list[Progress]:
    """Return the progress of runs that came from `recent`. At most two queries for all of them."""
    found = list(runs)
    family.add_up(found)
    steps: dict[object, list[Step]] = {}
    columns = ("run_id", "state", "wait_reason", "flags", "title", "node", "kind", "port", "error", "position")
    for step in Step.objects.filter(run__in=found).only(*columns).order_by("position", "id"):
        steps.setdefault(step.run_id, []).append(step)
    return [_progress(run, steps.get(run.pk, [])) for run in found]


def one(run: Run) -> Progress:
    """Return one run's progress, with its `needs_person`."""
    waits = Step.objects.filter(run=run, state=StepState.WAITING, wait_reason__in=PERSON_WAITS)
    run.needs_person = waits.exists()  # type: ignore[attr-defined]  # as `with_person_waits` sets it
    return progress([run])[0]


def pipelines(workspace: Workspace, now: dt.datetime) -> list[Health]:
    """Return the workspace's pipelines, the last run first. Five queries, whatever their number."""
    found = list(Pipeline.objects.filter(workspace=workspace, archived_at=None).select_related("published"))
    period = Period.around(workspace, now)
    months = _months(Run.objects.filter(workspace=workspace), period)
    last = {line.run.pipeline_id: line for line in progress(_last_runs(workspace))}
    ahead = _drafts_ahead(found)
    first_day = period.today.date() - dt.timedelta(days=DAYS - 1)
    lines = [_health(one, months.get(one.pk, _Month()), last.get(one.pk), one.pk in ahead, first_day) for one in found]
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(lines, key=lambda line: line.last.run.created_at if line.last else never, reverse=True)


def of(pipeline: Pipeline, now: dt.datetime) -> Health:
    """Return one pipeline's health, without its last run."""
    period = Period.around(pipeline.workspace, now)
    month = _months(Run.objects.filter(pipeline=pipeline), period).get(pipeline.pk, _Month())
    first_day = period.today.date() - dt.timedelta(days=DAYS - 1)
    return _health(pipeline, month, None, bool(_drafts_ahead([pipeline])), first_day)


def _progress(run: Run, steps: Sequence[Step]) -> Progress:
    needs_person = bool(getattr(run, "needs_person", False))
    badges = [badge_of(step) for step in steps]
    done = sum(StepState(step.state).is_terminal for step in steps)
    return Progress(
        run=run,
        badge=run_badge(run.state, run.reason, needs_person=needs_person),
        segments=_segments([badge.segment for badge in badges]),
        done=done,
        total=len(steps),
        doing=_doing(steps),
    )


def _segments(states: Sequence[str]) -> list[str]:
    """Return at most `SEGMENTS` segments; a segment of several steps shows the most telling of them."""
    if len(states) <= SEGMENTS:
        return list(states)
    size = len(states) / SEGMENTS
    rank = ("bad", "wait", "run", "dg", "", "ok", "off")
    parts = [
        states[int(index * size) : max(int((index + 1) * size), int(index * size) + 1)] for index in range(SEGMENTS)
    ]
    return [min(part, key=rank.index) for part in parts]


def _doing(steps: Sequence[Step]) -> str:
    for states in ((StepState.WAITING,), (StepState.RUNNING, StepState.RETRYING)):
        busy = [step for step in steps if step.state in states]
        if busy:
            name = busy[0].title or busy[0].node.replace("_", " ").capitalize()
            return f"{name} and {len(busy) - 1} more" if busy[1:] else name
    return ""


def _months(runs: "QuerySet[Run]", period: Period) -> dict[object, _Month]:
    since = period.today - dt.timedelta(days=DAYS - 1)
    months: dict[object, _Month] = {}
    totals = (
        runs.filter(created_at__gte=period.month)
        .order_by()
        .values_list("pipeline_id")
        .annotate(Count("id"), Sum("cost_micros"), Max("cost_micros"))
    )
    for pipeline_id, total, cost, peak in totals:
        months[pipeline_id] = _Month(total, cost or 0, peak or 0)
    days = (
        runs.filter(created_at__gte=since)
        .order_by()
        .annotate(day=TruncDate("created_at", tzinfo=period.zone))
        .values_list("pipeline_id", "day")
        .annotate(all=Count("id"), failed=Count("id", filter=Q(state="failed")))
    )
    for pipeline_id, day, total, failed in days:
        months.setdefault(pipeline_id, _Month()).days[day] = (total, failed)
    return months


def _last_runs(workspace: Workspace) -> "QuerySet[Run]":
    newest = Run.objects.filter(pipeline=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    ids = Pipeline.objects.filter(workspace=workspace, archived_at=None).values_list(Subquery(newest), flat=True)
    return with_person_waits(Run.objects.filter(pk__in=[pk for pk in ids if pk]).select_related("pipeline", "parent"))


def _drafts_ahead(found: Sequence[Pipeline]) -> set[object]:
    """Return the pipelines whose draft was changed after their last publication."""
    drafts = Draft.objects.filter(pipeline__in=found).values_list("pipeline_id", "updated_at")
    published = {one.pk: one.published.created_at for one in found if one.published}
    return {pk for pk, changed in drafts if pk in published and changed > published[pk]}


def _health(pipeline: Pipeline, month: _Month, last: Progress | None, ahead: bool, first_day: dt.date) -> Health:
    document = pipeline.published.document if pipeline.published else {}
    cap = (document.get("budget") or {}).get("max_cost_usd")
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


def states(runs: "QuerySet[Run]") -> Counter[str]:
    """Return how many of these runs are in each state."""
    rows = runs.order_by().values_list("state").annotate(Count("id"))
    return Counter(dict(rows))
