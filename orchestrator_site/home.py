"""What the home page puts first: what waits for me, what runs, what failed, what today costs."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.access import Actor, scoped
from approvals.views import items
from pipelines.models import Pipeline
from runs import charts, costs, health, veil
from runs.engine.status import RunState
from runs.models import Run
from runs.words import Badge, run_badge

SHOWN, STARTS = 6, 5
_RUNNING = (RunState.RUNNING, RunState.WAITING, RunState.QUEUED, RunState.PAUSED, RunState.CANCELLING)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run as one sentence and the one button that helps; `path` is the step to look at, if one is to blame."""

    run: Run
    badge: Badge
    sentence: str
    button: str
    path: str


@dataclass(frozen=True, slots=True)
class Home:
    greeting: str
    first: str
    waiting: Sequence[items.Item]
    waiting_count: int
    running: Sequence[health.Progress]
    failures: Sequence[Failure]
    runs_today: int
    caps: Sequence[costs.Cap]
    month: costs.Spend
    hours: Sequence[charts.Rect]
    hour: int
    pipelines: Sequence[Pipeline]
    is_new: bool


def home(actor: Actor) -> Home:
    """Return the home page of one person."""
    now, workspace = timezone.now(), actor.workspace
    period = costs.Period.around(workspace, now)
    waiting = items.waiting_for(actor)
    local = now.astimezone(actor.user.tzinfo)
    return Home(
        greeting=f"Good {_part_of_day(local.hour)}, {str(actor.user).split('@')[0].split(' ')[0]}",
        first=_first_sentence(waiting, now),
        waiting=waiting[:SHOWN],
        waiting_count=len(waiting),
        running=veil.lines(actor, health.progress(health.recent(actor, SHOWN, parent=None, state__in=_RUNNING))),
        failures=_failures(actor, period.today),
        runs_today=Run.objects.filter(workspace=workspace, parent=None, created_at__gte=period.today).count(),
        caps=costs.caps(workspace, period, whole_workspace=True),
        month=costs.since(workspace, period.month),
        hours=charts.columns(costs.by_hour(workspace, now), 336, 60),
        hour=now.astimezone(period.zone).hour,
        pipelines=_to_start(actor),
        is_new=not Pipeline.objects.filter(workspace=workspace, archived_at=None).exists(),
    )


def _part_of_day(hour: int) -> str:
    return "morning" if 4 <= hour < 12 else "afternoon" if hour < 18 else "evening"


def _first_sentence(waiting: Sequence[items.Item], now: dt.datetime) -> str:
    if not waiting:
        return "Nothing waits for you."
    count = len(waiting)
    said = f"{count} approval{'s' if count > 1 else ''} wait{'s' if count == 1 else ''} for you"
    soon = sum(
        item.approval.expires_at is not None and item.approval.expires_at - now < dt.timedelta(hours=1)
        for item in waiting
    )
    return f"{said}, {'one is' if soon == 1 else f'{soon} are'} due within the hour." if soon else f"{said}."


def _to_start(actor: Actor) -> list[Pipeline]:
    """Return a few pipelines that can be run at once."""
    published = scoped(Pipeline, actor).filter(archived_at=None, published__isnull=False)
    return list(published.order_by("name")[:STARTS])


def _failures(actor: Actor, since: dt.datetime) -> list[Failure]:
    runs = health.recent(actor, SHOWN, parent=None, state=RunState.FAILED, created_at__gte=since)
    return [_failure(veil.run(actor, run)) for run in runs]


def _failure(run: Run) -> Failure:
    error = run.error if isinstance(run.error, dict) else {}
    sentence = str(error.get("message") or "The run failed; its log says where.")
    badge = run_badge(run.state, run.reason)
    path = str(error.get("path") or "")
    return Failure(run, badge, sentence, "See the step" if path else "See the run", path)
