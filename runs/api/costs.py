"""What was spent, for programs and spreadsheets."""

import csv
import datetime as dt
import io
import zoneinfo
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router

from accounts.access import Capability, actor_of, require
from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.api.shapes import time
from runs.breakdown import DIMENSIONS, Breakdown, Question, Spending, breakdown

router = Router(tags=["costs"])

MOST_LINES = 10_000
FIRST_YEAR, LAST_YEAR = 2000, 2200
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@router.get("/costs", response=Any, summary="What was spent, by pipeline, agent, step, model, tag or day")
def costs(
    request: HttpRequest,
    group_by: str = "pipeline",
    since: Annotated[str, Query(alias="from", description="a day or a moment; else the month's first")] = "",
    until: Annotated[str, Query(alias="to", description="a day, which is included, or a moment; else now")] = "",
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Any:
    actor = actor_of(request)
    require(actor, Capability.READ)
    question = _question(actor.workspace, group_by, since, until)
    found = breakdown(question)
    if len(found.lines) > MOST_LINES:
        message = f"That makes {len(found.lines)} lines; the most is {MOST_LINES}. Ask for fewer days or dimensions."
        raise Invalid(message, code="too_many_lines", where="/group_by")
    return _csv(question, found) if form == "csv" else _json(question, found)


def _question(workspace: Workspace, group_by: str, since: str, until: str) -> Question:
    by = tuple(dict.fromkeys(name.strip() for name in group_by.split(",") if name.strip()))
    for name in by:
        if name not in DIMENSIONS:
            message = f"Costs cannot be grouped by {name[:40]!r}, only by {', '.join(DIMENSIONS)}."
            raise Invalid(message, code="unknown_dimension", where="/group_by")
    zone = zoneinfo.ZoneInfo(workspace.zone)
    now = timezone.now()
    month = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = _moment(since, zone, "from") if since else month
    end = _moment(until, zone, "to") if until else now
    return Question(workspace, by, start, end, zone)


def _moment(text: str, zone: zoneinfo.ZoneInfo, name: str) -> dt.datetime:
    """Return the moment a text means: a day is its midnight in the workspace's zone, and `to` includes that day."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        message = f"`{name}` is a day as 2026-11-20 or a moment as 2026-11-20T09:00:00Z."
        raise Invalid(message, code="bad_time", where=f"/{name}")
    is_day = len(text) <= len("2026-11-20")
    if is_day and name == "to":
        found += dt.timedelta(days=1)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _json(question: Question, found: Breakdown) -> dict[str, Json]:
    return {
        "from": time(question.since.astimezone(dt.UTC)),
        "to": time(question.until.astimezone(dt.UTC)),
        "items": [
            {**dict(zip(question.by, key, strict=True)), **_amounts(spending)} for key, spending in found.lines.items()
        ],
        "next": None,
        "total": _amounts(found.total),
    }


def _amounts(spending: Spending) -> dict[str, Json]:
    return {
        "cost_usd": dollars(spending.cost),
        "unconfirmed_usd": dollars(spending.unconfirmed),
        "input_tokens": spending.input_tokens,
        "output_tokens": spending.output_tokens,
        "calls": spending.calls,
        "runs": spending.runs,
        "unpriced_calls": spending.unpriced,
    }


def _csv(question: Question, found: Breakdown) -> HttpResponse:
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow([*question.by, *_amounts(found.total)])
    for key, spending in found.lines.items():
        sheet.writerow([*(_cell(name) for name in key), *_amounts(spending).values()])
    sheet.writerow([*(["total"] + [""] * len(question.by))[: len(question.by)], *_amounts(found.total).values()])
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="costs.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _cell(name: str | None) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    text = name or ""
    return f"'{text}" if text.startswith(FORMULA) else text
