"""The desk as a whole over REST: how it keeps up, who decided what, and several light questions at once."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from accounts import paging, sheets
from accounts.access import Actor, Capability, actor_of, require
from accounts.schemas import Body
from accounts.sheets import OR_A_SHEET, Form
from approvals import bulk, decision_log, health
from approvals.decision_log import Wanted

router = Router(tags=["approvals"])


class LoggedOut(Schema):
    """One decision of the log. `waited_seconds` is how long the question had been open."""

    at: datetime
    decision: str
    by: str
    stands_for: str | None
    title: str
    tool: str | None
    pipeline: str
    run: str
    path: str
    kind: str
    state: str
    reason: str
    edited: bool
    payload_hash: str
    waited_seconds: float
    approval: str
    taken_back_at: datetime | None


class LogPage(Schema):
    items: list[LoggedOut]
    next: str | None


class LogFilters(Schema):
    by: str = ""
    decision: str = ""
    pipeline: str = ""
    since: str = Field("", alias="from", description="a day of the workspace's zone")
    until: str = Field("", alias="to", description="a day, which is included")
    form: Literal["json", "csv"] = Field("json", alias="format")
    cursor: str | None = None
    limit: int | None = None


class BulkItem(Body):
    id: str = Field(max_length=64)
    payload_hash: str = Field(max_length=71)


class BulkBody(Body):
    decision: str = Field(max_length=40)
    reason: str = ""
    items: list[BulkItem]


@router.get(
    "/approvals/health",
    response=Any,
    summary="How well people keep up with what is asked",
    openapi_extra=OR_A_SHEET,
)
def read_health(
    request: HttpRequest,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
    form: Form = "json",
    table: Annotated[
        Literal["totals", "people", "pipelines"], Query(description="which part of it a sheet holds")
    ] = "totals",
) -> Any:
    """Waits are seconds, null where nothing was answered in the period."""
    told = _health(health.health(_reader(request), days))
    if form == "csv":
        rows = [told] if table == "totals" else told[table]
        return sheets.of_items(f"approval-health-{table}", COLUMNS[table], rows)
    return told


@router.get(
    "/decisions",
    response={200: LogPage},
    summary="List who decided what, the newest first",
    openapi_extra=OR_A_SHEET,
)
def list_decisions(request: HttpRequest, filters: Query[LogFilters]) -> Any:
    """`format=csv` answers with a sheet of up to 100,000 lines."""
    actor = _reader(request)
    wanted = Wanted.read(filters.dict())
    rows = decision_log.decisions(actor, wanted)
    if filters.form == "csv":
        return sheets.of_rows("decisions", decision_log.COLUMNS, rows, decision_log.shape)
    return paging.page(rows, filters.cursor, filters.limit, ("-at", "pk"), decision_log.shape)


@router.post("/approvals/bulk", response=Any, summary="Answer several light approvals, each by itself")
def decide_several(request: HttpRequest, body: BulkBody) -> dict[str, Any]:
    """Answers 200 with an outcome per item, whatever became of each: its state, or the code and message of why not."""
    asked = [bulk.Item(one.id, one.payload_hash) for one in body.items]
    outcomes = bulk.decide_each(actor_of(request), asked, body.decision, body.reason)
    return {"items": [_outcome(one) for one in outcomes]}


def _outcome(one: bulk.Outcome) -> dict[str, Any]:
    refused = {"code": one.refused.code, "message": one.refused.message} if one.refused else {}
    return {"id": one.item.id, "state": one.approval.state if one.approval and one.done else None, **refused}


def _health(found: health.Health) -> dict[str, Any]:
    figures = {name: getattr(found, name) for name in _FIGURES}
    people = [
        {"by": one.person.email, "holds": one.holds, "answered": one.answered, "median": one.median}
        for one in found.people
    ]
    places = [
        {"pipeline": one.pipeline.slug, **{name: getattr(one, name) for name in _OF_A_PLACE}} for one in found.places
    ]
    return {**figures, "people": people, "pipelines": places}


_FIGURES = (
    *("days", "open", "overdue", "soon", "unclaimed", "oldest"),
    *("answered", "rejected", "edited", "expired", "median", "slowest"),
)
_OF_A_PLACE = ("asked", "answered", "expired", "median")
COLUMNS = {
    "totals": _FIGURES,
    "people": ("by", "holds", "answered", "median"),
    "pipelines": ("pipeline", *_OF_A_PLACE),
}


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor
