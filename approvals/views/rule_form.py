"""Reads and fills the forms of a rule, a calendar and an absence: what was typed, as text, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from django.http import QueryDict

from accounts.errors import Invalid
from approvals.absences import AbsenceFields
from approvals.business import DAYS
from approvals.models import Calendar, Rule
from approvals.rules import HALF, CalendarFields, LevelFields, RuleFields

LEVELS = 3
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOST_HOURS = Decimal(24 * 90)
Typed = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LevelRow:
    """One level as typed. `name` tells its fields apart; `hours` "" means as long as it takes."""

    name: str
    number: int
    reviewer: bool
    manager: bool
    people: str
    hours: str


def typed_rule(rule: Rule) -> dict[str, str]:
    """Return what would have been typed to make this rule."""
    typed = {
        "name": rule.name,
        "pipeline": rule.pipeline.slug if rule.pipeline else "",
        "tool": rule.tool,
        "effect": rule.effect,
        "amount_in": rule.amount_at,
        "amount_least": "" if rule.amount_least is None else f"{rule.amount_least.normalize():f}",
        "approvals": str(rule.least),
        "calendar": rule.calendar.name if rule.calendar else "",
        "half": "on" if rule.remind_half else "",
        "before": ", ".join(_hours_of(seconds) for seconds in rule.remind_before),
        "hold": str(rule.hold or ""),
    }
    for index, level in enumerate(rule.levels):
        typed |= {f"{role}-{index}": "on" for role in level["roles"]}
        typed[f"people-{index}"] = ", ".join(level["people"])
        typed[f"hours-{index}"] = "" if level["within"] is None else _hours_of(level["within"])
    return typed


def level_rows(typed: Typed, levels: int = 0) -> list[LevelRow]:
    """Return the rows of the levels, at least three."""
    return [
        LevelRow(
            name=str(index),
            number=index + 1,
            reviewer=bool(typed.get(f"reviewer-{index}")),
            manager=bool(typed.get(f"manager-{index}")),
            people=typed.get(f"people-{index}", ""),
            hours=typed.get(f"hours-{index}", ""),
        )
        for index in range(max(LEVELS, levels))
    ]


def rule_fields(typed: Typed, levels: int = 0) -> RuleFields:
    """Return what a posted form says; raise Invalid where a number cannot be read. Empty levels are left out."""
    rows = [row for row in level_rows(typed, levels) if row.reviewer or row.manager or row.people.strip()]
    approvals = typed.get("approvals", "1").strip()
    if not (approvals.isascii() and approvals.isdigit() and len(approvals) < 4):
        raise Invalid("Say how many people have to approve, such as 2.", code="invalid_rule", where="/approvals")
    before = tuple(_duration(part, "/remind") for part in typed.get("before", "").split(",") if part.strip())
    least = typed.get("amount_least", "").strip()
    return RuleFields(
        name=typed.get("name", "").strip(),
        levels=tuple(_level(row) for row in rows),
        approvals=int(approvals),
        pipeline=typed.get("pipeline") or None,
        tool=typed.get("tool", ""),
        effect=typed.get("effect", ""),
        amount_in=typed.get("amount_in", "").strip(),
        amount_least=least or None,
        calendar=typed.get("calendar") or None,
        remind=((HALF,) if typed.get("half") else ()) + before,
        hold=_hold(typed.get("hold", "").strip()),
    )


def typed_calendar(calendar: Calendar) -> dict[str, str]:
    """Return what would have been typed to make this calendar."""
    days = {day: ", ".join("-".join(span) for span in calendar.week.get(day, ())) for day in DAYS}
    return {"name": calendar.name, "zone": calendar.zone, "holidays": "\n".join(calendar.holidays), **days}


def day_rows(typed: Typed) -> list[tuple[str, str, str]]:
    """Return (field, the day's name, hours as typed) from Monday."""
    return [(day, name, typed.get(day, "")) for day, name in zip(DAYS, DAY_NAMES, strict=True)]


def calendar_fields(typed: Typed) -> CalendarFields:
    """Return what a posted form says; hours are typed as `09:00-12:00, 13:00-17:00`."""
    week = {day: [_span(part) for part in typed.get(day, "").split(",") if part.strip()] for day in DAYS}
    holidays = tuple(typed.get("holidays", "").split())
    used = {day: spans for day, spans in week.items() if spans}
    return CalendarFields(typed.get("name", "").strip(), typed.get("zone", "").strip(), used, holidays)


def absence_fields(posted: QueryDict, zone: ZoneInfo) -> AbsenceFields:
    """Return what a posted form says: days in the person's own zone, the last one included."""
    begin, end = (_day(posted.get(name, ""), f"/{name}") for name in ("first", "last"))
    after = end + timedelta(days=1)
    return AbsenceFields(begin.replace(tzinfo=zone), after.replace(tzinfo=zone), posted.get("delegate", ""))


def _level(row: LevelRow) -> LevelFields:
    roles = [role for role, chosen in (("reviewer", row.reviewer), ("manager", row.manager)) if chosen]
    people = tuple(part for part in row.people.replace(",", " ").split() if part)
    within = _duration(row.hours, f"/levels/{row.name}/within") if row.hours.strip() else None
    return LevelFields(tuple(roles), people, within)


def _hold(seconds: str) -> str | None:
    if not seconds:
        return None
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 6):
        raise Invalid("Write the time to take it back as seconds, such as 30.", code="invalid_rule", where="/hold")
    return f"PT{int(seconds)}S"


def _span(text: str) -> list[str]:
    begin, _, end = text.replace("–", "-").partition("-")
    return [begin.strip(), end.strip()]


def _duration(hours: str, where: str) -> str:
    try:
        number = Decimal(hours.strip().replace(",", "."))
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or not 0 < number <= _MOST_HOURS:
        raise Invalid("Write hours as a number, such as 4 or 0.5.", code="invalid_rule", where=where)
    return f"PT{int(number * 3_600)}S"


def _hours_of(seconds: int) -> str:
    return f"{(Decimal(seconds) / 3_600).quantize(Decimal('0.001')).normalize():f}"


def _day(text: str, where: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a day on the wall; the caller adds the zone
    except ValueError:
        raise Invalid("Choose a day.", code="invalid_absence", where=where) from None
