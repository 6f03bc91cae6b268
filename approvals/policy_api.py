"""Approval rules, calendars and absences over REST."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts import access, paging
from accounts.access import Actor, Capability, actor_of
from accounts.schemas import Body
from approvals import absences, rules
from approvals.absences import AbsenceFields
from approvals.models import Absence, Calendar, Rule
from approvals.rules import CalendarFields, LevelFields, RuleFields

router = Router(tags=["approval policy"])


class LevelBody(Body):
    roles: list[str] = Field([], max_length=10)
    people: list[str] = Field([], max_length=50, description="emails of reviewers or managers")
    within: str | None = Field(None, max_length=40, description="ISO 8601, before the next level is asked too")


class RuleBody(Body):
    name: str = Field(max_length=200)
    pipeline: str | None = Field(None, max_length=100)
    tool: str = Field("", max_length=400, description="with or without its version; empty for all")
    effect: str = Field("", max_length=40, description="the least effect: reversible or irreversible")
    amount_in: str = Field("", max_length=400, description="JSON pointer into the call's arguments")
    amount_least: str | None = Field(None, max_length=60)
    approvals: int = Field(1, description="how many different people")
    levels: list[LevelBody] = Field(max_length=20)
    calendar: str | None = Field(None, max_length=100)
    remind: list[str] = Field(["half", "PT1H"], max_length=20)
    hold: str | None = Field(None, max_length=40, description="ISO 8601: for how long an approval can be taken back")


class CalendarBody(Body):
    name: str = Field(max_length=200)
    zone: str = Field(max_length=60)
    week: dict[str, list[tuple[str, str]]] = Field(description='{"mon": [["09:00", "17:00"]]}')
    holidays: list[str] = Field([], max_length=2_000)


class AbsenceBody(Body):
    starts_at: datetime
    ends_at: datetime
    delegate: str = Field(max_length=254, description="the colleague's email")


class RuleOut(Schema):
    id: str
    name: str
    pipeline: str | None
    tool: str
    effect: str
    amount_in: str
    amount_least: str | None
    approvals: int
    levels: list[dict[str, Any]]
    calendar: str | None
    remind: list[str]
    hold: str | None


class CalendarOut(Schema):
    name: str
    zone: str
    week: dict[str, list[list[str]]]
    holidays: list[str]


class AbsenceOut(Schema):
    id: str
    person: str
    delegate: str
    starts_at: datetime
    ends_at: datetime


class RulePage(Schema):
    items: list[RuleOut]
    next: str | None


class CalendarPage(Schema):
    items: list[CalendarOut]
    next: str | None


class AbsencePage(Schema):
    items: list[AbsenceOut]
    next: str | None


class Paging(Schema):
    cursor: str | None = None
    limit: int | None = None


@router.get("/approval-rules", response=RulePage, summary="List the approval rules")
def list_rules(request: HttpRequest, page: Query[Paging]) -> dict[str, Any]:
    return paging.page(rules.listed(_reader(request)), page.cursor, page.limit, "name", shape_rule)


@router.post("/approval-rules", response={201: RuleOut}, summary="Add an approval rule")
def add_rule(request: HttpRequest, body: RuleBody) -> Status[dict[str, Any]]:
    """It is about questions asked from now on, beside what the pipeline asks."""
    return Status(201, shape_rule(rules.put(actor_of(request), _rule(body))))


@router.put("/approval-rules/{rule_id}", response=RuleOut, summary="Change an approval rule")
def change_rule(request: HttpRequest, rule_id: str, body: RuleBody) -> dict[str, Any]:
    actor = actor_of(request)
    return shape_rule(rules.put(actor, _rule(body), access.get(rules.listed(actor), actor, pk=rule_id)))


@router.delete("/approval-rules/{rule_id}", response={204: None}, summary="Remove an approval rule")
def remove_rule(request: HttpRequest, rule_id: str) -> Status[None]:
    actor = actor_of(request)
    rules.remove(actor, access.get(Rule, actor, pk=rule_id))
    return Status(204, None)


@router.get("/calendars", response=CalendarPage, summary="List the business calendars")
def list_calendars(request: HttpRequest, page: Query[Paging]) -> dict[str, Any]:
    rows = access.scoped(Calendar, _reader(request))
    return paging.page(rows, page.cursor, page.limit, "name", shape_calendar)


@router.post("/calendars", response={201: CalendarOut}, summary="Add a business calendar")
def add_calendar(request: HttpRequest, body: CalendarBody) -> Status[dict[str, Any]]:
    return Status(201, shape_calendar(rules.put_calendar(actor_of(request), _calendar(body))))


@router.put("/calendars/{name}", response=CalendarOut, summary="Change a business calendar")
def change_calendar(request: HttpRequest, name: str, body: CalendarBody) -> dict[str, Any]:
    """Deadlines that are counted already stay as they are."""
    actor = actor_of(request)
    return shape_calendar(rules.put_calendar(actor, _calendar(body), access.get(Calendar, actor, name=name)))


@router.delete("/calendars/{name}", response={204: None}, summary="Remove a business calendar")
def remove_calendar(request: HttpRequest, name: str) -> Status[None]:
    actor = actor_of(request)
    rules.remove_calendar(actor, access.get(Calendar, actor, name=name))
    return Status(204, None)


@router.get("/absences", response=AbsencePage, summary="List who is away or will be")
def list_absences(request: HttpRequest, page: Query[Paging]) -> dict[str, Any]:
    rows = absences.current(_reader(request))
    return paging.page(rows, page.cursor, page.limit, "-created_at", shape_absence)


@router.post("/absences", response={201: AbsenceOut}, summary="Say that you are away")
def add_absence(request: HttpRequest, body: AbsenceBody) -> Status[dict[str, Any]]:
    """Meanwhile the delegate is asked as you would be."""
    fields = AbsenceFields(body.starts_at, body.ends_at, body.delegate)
    return Status(201, shape_absence(absences.add(actor_of(request), fields)))


@router.delete("/absences/{absence_id}", response={204: None}, summary="End an absence")
def end_absence(request: HttpRequest, absence_id: str) -> Status[None]:
    actor = actor_of(request)
    absences.end(actor, access.get(absences.current(actor), actor, pk=absence_id))
    return Status(204, None)


def shape_rule(rule: Rule) -> dict[str, Any]:
    """Return a rule as it is sent to be changed, with its id."""
    levels = [{**level, "within": _duration(level["within"])} for level in rule.levels]
    least = rule.amount_least
    return {
        "id": str(rule.pk),
        "name": rule.name,
        "pipeline": rule.pipeline.slug if rule.pipeline else None,
        "tool": rule.tool,
        "effect": rule.effect,
        "amount_in": rule.amount_at,
        "amount_least": None if least is None else f"{least.normalize():f}",
        "approvals": rule.least,
        "levels": levels,
        "calendar": rule.calendar.name if rule.calendar else None,
        "remind": [*(["half"] if rule.remind_half else []), *(f"PT{seconds}S" for seconds in rule.remind_before)],
        "hold": _duration(rule.hold or None),
    }


def shape_calendar(calendar: Calendar) -> dict[str, Any]:
    return {name: getattr(calendar, name) for name in ("name", "zone", "week", "holidays")}


def shape_absence(absence: Absence) -> dict[str, Any]:
    return {
        "id": str(absence.pk),
        "person": absence.person.email,
        "delegate": absence.delegate.email,
        "starts_at": absence.starts_at,
        "ends_at": absence.ends_at,
    }


def _calendar(body: CalendarBody) -> CalendarFields:
    week = {day: [list(span) for span in spans] for day, spans in body.week.items()}
    return CalendarFields(body.name, body.zone, week, tuple(body.holidays))


def _rule(body: RuleBody) -> RuleFields:
    levels = tuple(LevelFields(tuple(one.roles), tuple(one.people), one.within) for one in body.levels)
    return RuleFields(**{**body.dict(), "levels": levels, "remind": tuple(body.remind)})


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else f"PT{seconds}S"


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    access.require(actor, Capability.READ)
    return actor
