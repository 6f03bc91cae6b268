"""Alert rules over REST, and what they found."""

from datetime import date, datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from accounts import sheets
from accounts.access import Actor, Capability, actor_of, get, require
from accounts.paging import page
from accounts.schemas import Body
from accounts.sheets import Form
from notices import alerts
from notices.alerts import AlertFields
from notices.models import AlertFiring, AlertRule

router = Router(tags=["alerts"])

RULE = ("name", "kind", "metric", "limit", "pipeline", "period", "roles", "people", "channels", "checked_at", "id")
FOUND = ("at", "rule", "period_start", "said")


class AlertBody(Body):
    name: str = Field(max_length=200)
    kind: str = Field(description="threshold, anomaly or silence")
    metric: str = Field("", max_length=40, description="spend, failures or latency; of a silence none")
    limit: str = Field("", max_length=40, description="dollars, percent or seconds; of an anomaly times the usual")
    pipeline: str | None = Field(None, max_length=100, description="its slug; null for all")
    period: str = Field("day", max_length=10, description="day, or month for a limit on spend")
    roles: list[str] = Field(["manager"], max_length=10)
    people: list[str] = Field([], max_length=50, description="emails of members")
    channels: list[str] = Field([], max_length=50)

    def fields(self) -> AlertFields:
        lists = {name: tuple(getattr(self, name)) for name in ("roles", "people", "channels")}
        return AlertFields(self.name, self.kind, self.metric, self.limit, self.pipeline, self.period, **lists)


class AlertOut(Schema):
    id: str
    name: str
    kind: str
    metric: str
    limit: str
    pipeline: str | None
    period: str
    roles: list[str]
    people: list[str]
    channels: list[str]
    checked_at: datetime | None


class FiringOut(Schema):
    rule: str
    period_start: date
    said: str
    at: datetime


class AlertPage(Schema):
    items: list[AlertOut]
    next: str | None


class FiringPage(Schema):
    items: list[FiringOut]
    next: str | None


@router.get("/alert-rules", response={200: AlertPage}, summary="List the alert rules", openapi_extra=sheets.OR_A_SHEET)
def list_alerts(request: HttpRequest, cursor: str | None = None, limit: int | None = None, form: Form = "json") -> Any:
    rows = alerts.listed(_reader(request))
    if form == "csv":
        return sheets.of_rows("alert-rules", RULE, rows.order_by("name"), _rule)
    return page(rows, cursor, limit, "name", _rule)


@router.get(
    "/alert-rules/found",
    response={200: FiringPage},
    summary="List what alert rules found, newest first",
    openapi_extra=sheets.OR_A_SHEET,
)
def list_found(request: HttpRequest, cursor: str | None = None, limit: int | None = None, form: Form = "json") -> Any:
    rows = alerts.firings(_reader(request))
    if form == "csv":
        return sheets.of_rows("alerts-found", FOUND, rows, _firing)
    return page(rows, cursor, limit, "-id", _firing)


@router.post("/alert-rules", response={201: AlertOut}, summary="Add an alert rule")
def add_alert(request: HttpRequest, body: AlertBody) -> Status[Any]:
    return Status(201, _rule(alerts.put(actor_of(request), body.fields())))


@router.put("/alert-rules/{rule_id}", response=AlertOut, summary="Change an alert rule")
def change_alert(request: HttpRequest, rule_id: str, body: AlertBody) -> Any:
    actor = actor_of(request)
    return _rule(alerts.put(actor, body.fields(), get(alerts.listed(actor), actor, pk=rule_id)))


@router.delete("/alert-rules/{rule_id}", response={204: None}, summary="Remove an alert rule")
def remove_alert(request: HttpRequest, rule_id: str) -> Status[None]:
    actor = actor_of(request)
    alerts.remove(actor, get(alerts.listed(actor), actor, pk=rule_id))
    return Status(204, None)


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor


def _rule(row: AlertRule) -> dict[str, Any]:
    names = ("name", "kind", "metric", "period", "roles", "people", "channels", "checked_at")
    return {
        **{name: getattr(row, name) for name in names},
        "id": str(row.pk),
        "limit": alerts.limit_text(row),
        "pipeline": row.pipeline.slug if row.pipeline else None,
    }


def _firing(row: AlertFiring) -> dict[str, Any]:
    return {"rule": row.rule.name, "period_start": row.period_start, "said": row.said, "at": row.at}
