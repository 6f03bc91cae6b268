"""Who changes a workspace's rules about approvals and its calendars, and what they may say. Every change is audited."""

from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Invalid
from accounts.models import Membership, Workspace
from accounts.roles import Role
from approvals import business, policy, ruling
from approvals.models import Calendar, Rule
from pipelines.graph import durations
from pipelines.graph.canonical import sanitise
from pipelines.models import Pipeline

HALF = "half"
DAY = 86_400
MOST_RULES, MOST_CALENDARS, MOST_LEVELS, MOST_NAMED, MOST_HOLIDAYS = 50, 20, 5, 20, 400
_SHORTEST, _LONGEST = 60, 90 * DAY
_SHORTEST_HOLD, _LONGEST_HOLD = 5, 3_600
_MOST_PEOPLE = 20
_ROLES = (Role.REVIEWER, Role.MANAGER)


@dataclass(frozen=True, slots=True)
class LevelFields:
    """Who is asked at a level, and for how long (ISO 8601, of counted time) before the next is asked too."""

    roles: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    within: str | None = None


@dataclass(frozen=True, slots=True)
class RuleFields:
    """What a rule is about, then what it asks.

    `pipeline` is a slug, `tool` an id with or without version, `effect` the least effect; empty for all. `amount_in`
    is a JSON pointer into the call's arguments and `amount_least` a plain number as text. `remind` holds "half" and
    durations before a level's end.
    `hold` is for how long an approval can be taken back, ISO 8601, up to an hour.
    """

    name: str
    levels: tuple[LevelFields, ...]
    approvals: int = 1
    pipeline: str | None = None
    tool: str = ""
    effect: str = ""
    amount_in: str = ""
    amount_least: str | None = None
    calendar: str | None = None
    remind: tuple[str, ...] = (HALF, "PT1H")
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class CalendarFields:
    """Business hours, as `business.read` takes them."""

    name: str
    zone: str
    week: dict[str, list[list[str]]]
    holidays: tuple[str, ...] = ()


def listed(actor: Actor) -> QuerySet[Rule]:
    """Return the workspace's rules with what a list shows of each."""
    return scoped(Rule, actor).select_related("pipeline", "calendar")


@transaction.atomic
def put(actor: Actor, fields: RuleFields, rule: Rule | None = None) -> Rule:
    """Make a rule, or change this one; it is about questions asked from now on.

    Raises Forbidden, NotFound for another's pipeline or calendar, Conflict `name_taken`, Invalid `invalid_rule`
    naming the field.
    """
    require(actor, Capability.RULES)
    _alone(actor)
    others = scoped(Rule, actor).exclude(pk=rule.pk) if rule else scoped(Rule, actor)
    _check_name(fields.name, others)
    if rule is None and others.count() >= MOST_RULES:
        raise _wrong(f"A workspace has at most {MOST_RULES} rules. Change or remove one.", "/name")
    row = rule or Rule(workspace=actor.workspace)
    for column, value in _columns(actor, fields).items():
        setattr(row, column, value)
    row.save()
    audit.record(actor.workspace, actor.user, "approval_rule.set", str(row.pk), asdict(fields))
    return row


@transaction.atomic
def remove(actor: Actor, rule: Rule) -> None:
    """Take a rule away: questions asked from now on are asked without it."""
    require(actor, Capability.RULES)
    data = {"name": rule.name}
    target = str(rule.pk)
    rule.delete()
    audit.record(actor.workspace, actor.user, "approval_rule.removed", target, data)


@transaction.atomic
def put_calendar(actor: Actor, fields: CalendarFields, calendar: Calendar | None = None) -> Calendar:
    """Make a calendar, or change this one; deadlines that are counted already stay as they are.

    Raises Forbidden, Conflict `name_taken`, Invalid `invalid_calendar`.
    """
    require(actor, Capability.RULES)
    _alone(actor)
    others = scoped(Calendar, actor).exclude(pk=calendar.pk) if calendar else scoped(Calendar, actor)
    _check_name(fields.name, others, "invalid_calendar")
    if calendar is None and others.count() >= MOST_CALENDARS:
        raise _no_calendar(f"A workspace has at most {MOST_CALENDARS} calendars.", "/name")
    if len(fields.holidays) > MOST_HOLIDAYS:
        raise _no_calendar(f"A calendar has at most {MOST_HOLIDAYS} holidays.", "/holidays")
    if any(len(spans) > MOST_LEVELS for spans in fields.week.values()):
        raise _no_calendar(f"A day has at most {MOST_LEVELS} stretches of hours.", "/week")
    known = {"zone": fields.zone, "week": fields.week, "holidays": sorted(set(fields.holidays))}
    try:
        business.read(known)
    except ValueError as error:
        raise _no_calendar(str(error), "/week") from None
    row = calendar or Calendar(workspace=actor.workspace)
    row.name, row.zone, row.week, row.holidays = fields.name, fields.zone, fields.week, known["holidays"]
    row.save()
    audit.record(actor.workspace, actor.user, "calendar.set", row.name, known)
    return row


@transaction.atomic
def remove_calendar(actor: Actor, calendar: Calendar) -> None:
    """Take a calendar away; Conflict `calendar_in_use` while a rule counts by it."""
    require(actor, Capability.RULES)
    _alone(actor)
    user = Rule.objects.filter(calendar=calendar).order_by("name").first()
    if user:
        raise Conflict(f"The rule {user.name!r} counts by it. Change that rule first.", code="calendar_in_use")
    name = calendar.name
    calendar.delete()
    audit.record(actor.workspace, actor.user, "calendar.removed", name)


def _no_calendar(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_calendar", where=where)


def _alone(actor: Actor) -> None:
    """Let changes of one workspace's rules follow each other, so that names and limits hold."""
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)


def _columns(actor: Actor, fields: RuleFields) -> dict[str, Any]:
    if fields.effect not in ("", "reversible", "irreversible"):
        raise _wrong("The effect is reversible, irreversible, or empty for any question.", "/effect")
    if not 1 <= fields.approvals <= _MOST_PEOPLE:
        raise _wrong(f"A rule asks for 1 to {_MOST_PEOPLE} approvals.", "/approvals")
    least = _amount(fields)
    half, before = _reminders(fields.remind)
    return {
        "name": fields.name,
        "pipeline": get(Pipeline, actor, slug=fields.pipeline) if fields.pipeline else None,
        "tool": _clean(fields.tool, 200, "/tool"),
        "effect": fields.effect,
        "amount_at": _clean(fields.amount_in, 200, "/amount_in") if least is not None else "",
        "amount_least": least,
        "least": fields.approvals,
        "levels": _levels(actor, fields),
        "calendar": get(Calendar, actor, name=fields.calendar) if fields.calendar else None,
        "remind_half": half,
        "remind_before": before,
        "hold": _hold(fields.hold),
    }


def _levels(actor: Actor, fields: RuleFields) -> list[dict[str, Any]]:
    if not 1 <= len(fields.levels) <= MOST_LEVELS:
        raise _wrong(f"A rule asks at 1 to {MOST_LEVELS} levels.", "/levels")
    found = [_level(actor, level, f"/levels/{index}") for index, level in enumerate(fields.levels)]
    for index, level in enumerate(found[:-1]):
        if level["within"] is None:
            raise _wrong("Say how long this level has before the next is asked.", f"/levels/{index}/within")
    names = {email for level in found for email in level["people"]}
    if not any(level["roles"] for level in found) and len(names) < fields.approvals:
        raise _wrong(f"{len(names)} people cannot give {fields.approvals} approvals.", "/approvals")
    return found


def _level(actor: Actor, level: LevelFields, where: str) -> dict[str, Any]:
    if not (level.roles or level.people):
        raise _wrong("Name at least one role or person.", where)
    wrong = sorted(set(level.roles) - set(_ROLES))
    if wrong:
        givers = " and ".join(f"{role}s" for role in _ROLES)
        raise _wrong(f"Approvals are given by {givers}, not by {wrong[0][:20]!r}.", f"{where}/roles")
    people = sorted({_clean(email, 254, f"{where}/people").lower() for email in level.people})
    if len(people) > MOST_NAMED:
        raise _wrong(f"A level names at most {MOST_NAMED} people.", f"{where}/people")
    members = Membership.objects.active().filter(workspace=actor.workspace, user__email__in=people)
    deciders = {one.user.email for one in members.select_related("user") if policy.is_decider(frozenset(one.roles))}
    for email in people:
        if email not in deciders:
            raise _wrong(f"{email[:80]} is no {' or '.join(_ROLES)} of this workspace.", f"{where}/people")
    within = None if level.within is None else _seconds(level.within, f"{where}/within")
    return {"roles": sorted(set(level.roles)), "people": people, "within": within}


def _reminders(remind: tuple[str, ...]) -> tuple[bool, list[int]]:
    if len(remind) > MOST_LEVELS:
        raise _wrong(f"A rule has at most {MOST_LEVELS} reminders.", "/remind")
    before = {_seconds(one, f"/remind/{index}") for index, one in enumerate(remind) if one != HALF}
    return HALF in remind, sorted(before, reverse=True)


def _hold(text: str | None) -> int:
    if text is None:
        return 0
    try:
        seconds = int(durations.seconds(text))
    except ValueError as error:
        raise _wrong(str(error), "/hold") from None
    if not _SHORTEST_HOLD <= seconds <= _LONGEST_HOLD:
        raise _wrong("An approval can be taken back for five seconds to one hour.", "/hold")
    return seconds


def _amount(fields: RuleFields) -> Decimal | None:
    if fields.amount_least is None:
        return None
    if not ruling.is_pointer(fields.amount_in):
        raise _wrong("Say where the amount stands in the arguments, such as /amount.", "/amount_in")
    try:
        least = Decimal(fields.amount_least.strip())
    except InvalidOperation:
        least = Decimal("NaN")
    if not least.is_finite() or not 0 <= least < 10**15 or least != round(least, 6):
        raise _wrong("The amount is a number from 0 on, with at most six decimals, such as 1000.", "/amount_least")
    return least


def _seconds(text: str, where: str) -> int:
    try:
        seconds = int(durations.seconds(text))
    except ValueError as error:
        raise _wrong(str(error), where) from None
    if not _SHORTEST <= seconds <= _LONGEST:
        raise _wrong("A time is between one minute and 90 days.", where)
    return seconds


def _check_name(name: str, others: QuerySet[Any], code: str = "invalid_rule") -> None:
    if not name.strip() or name != name.strip() or len(name) > 60 or "/" in name or sanitise(name)[0] != name:
        raise Invalid("A name has 1 to 60 characters, none of them a slash.", code=code, where="/name")
    if others.filter(name=name).exists():
        raise Conflict(f"There is one named {name!r} already.", code="name_taken", where="/name")


def _clean(text: str, most: int, where: str) -> str:
    if len(text) > most or sanitise(text)[0] != text:
        raise _wrong(f"At most {most} characters.", where)
    return text.strip()


def _wrong(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_rule", where=where)
