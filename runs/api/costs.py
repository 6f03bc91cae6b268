"""What was spent, for programs and spreadsheets."""

import datetime as dt
import zoneinfo
from dataclasses import replace
from typing import Annotated, Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from ninja import Query, Router

from accounts import sheets
from accounts.access import Capability, actor_of, require
from accounts.errors import Invalid
from accounts.models import Workspace
from accounts.sheets import OR_A_SHEET, Form
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs import cost_tables, drilling, speeds
from runs.api.shapes import time
from runs.spending import DIMENSIONS, Answer, Question, Spending, ask, filters

router = Router(tags=["costs"])

MOST_LINES = 10_000
ASKED = (
    "`from` and `to` are days of the workspace's zone, both included, else this month until today. `by` is the "
    "dimension of what moved. `pipeline`, `tag`, `person`, `trigger` and `outcome` keep what has one of the given "
    "values, `agent`, `step` and `model` what has the given one; `(none)` is what has no value. Other parameters are "
    "refused. `format=csv` gives the same rows for a spreadsheet."
)
FIRST_YEAR, LAST_YEAR = 2000, 2200


@router.get(
    "/costs",
    response=Any,
    summary="What was spent, by pipeline, agent, step, model, tag, person or day",
    openapi_extra=OR_A_SHEET,
)
def costs(
    request: HttpRequest,
    group_by: str = "pipeline",
    since: Annotated[str, Query(alias="from", description="a day or a moment; else the month's first")] = "",
    until: Annotated[str, Query(alias="to", description="a day, which is included, or a moment; else today")] = "",
    form: Form = "json",
) -> Any:
    actor = actor_of(request)
    require(actor, Capability.READ)
    question = replace(_question(actor.workspace, group_by, since, until), only=filters.kept(dict(request.GET.lists())))
    found = ask(question)
    if len(found.lines) > MOST_LINES:
        message = f"That makes {len(found.lines)} lines; the most is {MOST_LINES}. Ask for fewer days or dimensions."
        raise Invalid(message, code="too_many_lines", where="/group_by")
    return _csv(question, found) if form == "csv" else _json(question, found)


SAID = {
    "forecast": "What this month will have cost at its end, with its method and range",
    "movers": "What cost more or less than in the period before",
    "rise": "Why spending changed against the period before, by factor",
    "reasons": "The pipelines and models that the factors of the change are made of",
    "waste": "What was paid for and came to nothing, each call once",
    "savings": "What kept results saved",
    "results": "Runs by how they stand, and the cost of a successful one",
    "latency": "How long runs and steps took, waiting for people apart, and how they ended",
    "slowest": "The runs behind a time of a pipeline or a step, the slowest first",
    "anomalies": "Runs and hours that cost far more than usual",
    "chargeback": "A period's spending shared between tags",
    "runs": "The runs that a number is the sum of",
}


OTHERS = {"runs": drilling.NUMBERS, "slowest": speeds.OTHERS}


def _route(name: str) -> None:
    def answer(request: HttpRequest, form: Form = "json") -> Any:
        actor = actor_of(request)
        require(actor, Capability.READ)
        zone, now = zoneinfo.ZoneInfo(actor.workspace.zone), timezone.now()
        others = ("format", *OTHERS.get(name, ()))
        asked = filters.read(dict(request.GET.lists()), now.astimezone(zone).date(), others)
        table = cost_tables.TABLES[name](actor.workspace, asked, now, request.GET)
        if form == "csv":
            return sheets.table(f"costs-{name}-{asked.first}-{asked.last}", table.columns, table.rows)
        items = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        return {"from": asked.first.isoformat(), "to": asked.last.isoformat(), "items": items, "next": None}

    router.get(
        f"/costs/{name}",
        response=Any,
        operation_id=f"costs_{name}",
        summary=SAID[name],
        description=ASKED,
        openapi_extra=OR_A_SHEET,
    )(answer)


for _name in SAID:
    _route(_name)


def _question(workspace: Workspace, group_by: str, since: str, until: str) -> Question:
    by = tuple(dict.fromkeys(name.strip() for name in group_by.split(",") if name.strip()))
    for name in by:
        if name not in DIMENSIONS:
            message = f"Costs cannot be grouped by {name[:40]!r}, only by {', '.join(DIMENSIONS)}."
            raise Invalid(message, code="unknown_dimension", where="/group_by")
    zone = zoneinfo.ZoneInfo(workspace.zone)
    today = timezone.now().astimezone(zone).date()
    start = _moment(since or today.replace(day=1).isoformat(), zone, "from")
    end = _moment(until or today.isoformat(), zone, "to")
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


def _json(question: Question, found: Answer) -> dict[str, Json]:
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


def _csv(question: Question, found: Answer) -> StreamingHttpResponse:
    rows = [(*key, *_amounts(spending).values()) for key, spending in found.lines.items()]
    total = (["total"] + [None] * len(question.by))[: len(question.by)]
    rows.append((*total, *_amounts(found.total).values()))
    return sheets.sheet("costs", (*question.by, *_amounts(found.total)), rows)
