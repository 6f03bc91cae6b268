"""Alert rules: who sets them, and the look that the workers' poll takes at each once a minute."""

import datetime as dt
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from django.db import OperationalError, transaction
from django.db.models import F, Q, QuerySet

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.clock import database_now
from accounts.errors import Conflict, Invalid
from accounts.models import Membership, Workspace
from accounts.roles import Role
from approvals.clock import ClockTimestamp
from notices import measures, verdicts
from notices.measures import Scope
from notices.models import AlertFiring, AlertRule, Channel, Event, Kind
from notices.verdicts import Verdict
from pipelines.graph.money import micros
from pipelines.models import Pipeline

log = logging.getLogger("baton.notices")

EVERY = dt.timedelta(seconds=60)
GRACE = dt.timedelta(hours=1)
MOST, SECONDS = 20, 0.5
MOST_RULES, MOST_NAMED = 50, 20
_LARGEST = 2**62
_UNITS = {"failures": 100, "latency": 1_000, "times": 100}
_K, _M = AlertRule.Kind, AlertRule.Metric


@dataclass(frozen=True, slots=True)
class AlertFields:
    """`limit` is text: dollars, percent or seconds by the metric; of an anomaly how many times the usual.

    `pipeline` is a slug, None for all; a silence needs one, and neither metric nor limit. `period` is "month" for the
    spend of a threshold alone. `roles` and `people` (emails) are told in their inbox and as they wish by email.
    """

    name: str
    kind: str
    metric: str = ""
    limit: str = ""
    pipeline: str | None = None
    period: str = "day"
    roles: tuple[str, ...] = ("manager",)
    people: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


def listed(actor: Actor) -> QuerySet[AlertRule]:
    """Return the workspace's alert rules."""
    return scoped(AlertRule, actor).select_related("pipeline")


def firings(actor: Actor) -> QuerySet[AlertFiring]:
    """Return what the workspace's rules found, newest first."""
    return scoped(AlertFiring, actor, through="rule__workspace").select_related("rule").order_by("-id")


@transaction.atomic
def put(actor: Actor, fields: AlertFields, rule: AlertRule | None = None) -> AlertRule:
    """Make a rule, or change this one; raises Forbidden, NotFound, Conflict `name_taken`, Invalid `invalid_alert`."""
    require(actor, Capability.MANAGE)
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)
    name = " ".join(fields.name.split())
    others = scoped(AlertRule, actor).exclude(pk=rule.pk) if rule else scoped(AlertRule, actor)
    if not 0 < len(name) <= 60 or not name.isprintable():
        raise _wrong("An alert rule needs a name of at most 60 characters.", "name")
    if others.filter(name=name).exists():
        raise Conflict(f"There is an alert rule {name!r} already. Choose another name.", code="name_taken")
    if rule is None and others.count() >= MOST_RULES:
        raise _wrong(f"A workspace has at most {MOST_RULES} alert rules. Change or remove one.", "name")
    row = AlertRule(workspace=actor.workspace, revision=0)
    if rule is not None:  # as it is now: the one given was read before others' changes
        row = get(AlertRule.objects.select_for_update(), actor, pk=rule.pk)
    row.name, row.kind, row.metric, row.period, row.limit = name, *_what(fields)
    row.pipeline = get(Pipeline, actor, slug=fields.pipeline) if fields.pipeline else None
    row.roles, row.people, row.channels = _whom(actor, fields)
    row.revision, row.checked_at = row.revision + 1, None
    row.save()
    audit.record(actor.workspace, actor.user, "alert_rule.set", str(row.pk), asdict(fields))
    return row


@transaction.atomic
def remove(actor: Actor, rule: AlertRule) -> None:
    """Take a rule away with what it found."""
    require(actor, Capability.MANAGE)
    row = get(AlertRule.objects.select_for_update(), actor, pk=rule.pk)
    target, data = str(row.pk), {"name": row.name}
    row.delete()
    audit.record(actor.workspace, actor.user, "alert_rule.removed", target, data)


def look() -> None:
    """Look at the rules whose minute is over, as far as a short turn goes. Safe when several workers do it at once."""
    until = time.monotonic() + SECONDS
    for _ in range(MOST):
        if not _next() or time.monotonic() > until:
            return


def _next() -> bool:
    """Look at one rule that is due and that nobody else holds; False when there was none."""
    due = Q(checked_at=None) | Q(checked_at__lt=ClockTimestamp() - EVERY)
    with transaction.atomic():
        rows = AlertRule.objects.select_for_update(skip_locked=True, of=("self",)).filter(due)
        rule = rows.select_related("workspace", "pipeline").order_by(F("checked_at").asc(nulls_first=True)).first()
        if rule is None:
            return False
        AlertRule.objects.filter(pk=rule.pk).update(checked_at=ClockTimestamp())
        try:
            with transaction.atomic():
                _speak(rule, database_now())
        except OperationalError:
            raise
        except Exception:  # one rule that cannot be judged must not keep the others from being looked at
            log.exception("The alert rule %s could not be judged.", rule.pk)
    return True


def _speak(rule: AlertRule, now: dt.datetime) -> None:
    """Write what a rule found, and what is to be told of it, once in its period."""
    today = now.astimezone(Scope(rule.workspace).zone).date()
    start = today.replace(day=1) if rule.period == "month" else today
    if rule.firings.filter(revision=rule.revision, period_start=start).exists():
        return
    verdict = judge(rule, now)
    if verdict is None:
        return
    place = f" of {rule.pipeline.name}" if rule.pipeline else ""
    AlertFiring.objects.create(rule=rule, revision=rule.revision, period_start=start, said=verdict.said[:400])
    data = {
        "rule": f"{rule.name}{place}",
        "found": verdict.found,
        "said": verdict.said,
        "kind": rule.kind,
        "metric": rule.metric,
        "pipeline": rule.pipeline.slug if rule.pipeline else None,
        "period": rule.period,
        "period_start": start.isoformat(),
        "to": [*rule.roles, *rule.people],
        "channels": rule.channels,
    }
    key = f"alert:{rule.pk}:{rule.revision}:{start}"
    Event.objects.bulk_create(
        [Event(workspace=rule.workspace, kind=Kind.ALERT, key=key, data=data)], ignore_conflicts=True
    )


def judge(rule: AlertRule, now: dt.datetime) -> Verdict | None:
    """Return what a rule has to say at a moment, None for nothing. At most three queries."""
    scope = Scope(rule.workspace, rule.pipeline)
    today = now.astimezone(scope.zone).date()
    if rule.kind == _K.SILENCE:
        if rule.pipeline is None or rule.pipeline.archived_at:  # nobody waits for what was put away
            return None
        return verdicts.silent(measures.began(scope, today - dt.timedelta(days=22), now, GRACE), today)
    limit = rule.limit or 0
    if rule.kind == _K.ANOMALY:
        first = today - dt.timedelta(days=verdicts.LOOKED_BACK)
        return verdicts.unusual(rule.metric, measures.by_day(rule.metric, scope, first), today, limit)
    first = today.replace(day=1) if rule.period == "month" else today
    days = measures.by_day(rule.metric, scope, first)
    reading = verdicts.together(rule.metric, [one for day, one in sorted(days.items()) if first <= day <= today])
    return verdicts.above(rule.metric, reading, limit)


def _what(fields: AlertFields) -> tuple[str, str, str, int | None]:
    """Return kind, metric, period and limit as the row keeps them."""
    if fields.kind not in _K.values:
        raise _wrong(f"The kind is {', '.join(_K.values)}.", "kind")
    if fields.kind == _K.SILENCE:
        if not fields.pipeline:
            raise _wrong("Choose the pipeline that should run.", "pipeline")
        return fields.kind, "", "day", None
    if fields.metric not in _M.values:
        raise _wrong(f"The metric is {', '.join(_M.values)}.", "metric")
    if fields.period not in ("day", "month"):
        raise _wrong("The period is day or month.", "period")
    if fields.period == "month" and (fields.kind, fields.metric) != (_K.THRESHOLD, _M.SPEND):
        raise _wrong("Only a limit on spend can be a month's; the rest is looked at by the day.", "period")
    return fields.kind, fields.metric, fields.period, _limit(fields)


def _limit(fields: AlertFields) -> int:
    is_times = fields.kind == _K.ANOMALY
    try:
        amount = micros(fields.limit.strip().removeprefix("$"))
    except ValueError:
        raise _wrong("The limit is a number above zero, like 2.5.", "limit") from None
    if not is_times and fields.metric == _M.SPEND:
        limit = amount
    else:
        limit = amount * _UNITS["times" if is_times else fields.metric] // 1_000_000
    if is_times and not 110 <= limit <= 10_000:
        raise _wrong("An anomaly is from 1.1 to 100 times the usual.", "limit")
    if not is_times and fields.metric == _M.FAILURES and not 0 <= limit < 10_000:
        raise _wrong("A share of failed runs is less than 100 percent.", "limit")
    if not 0 <= limit <= _LARGEST or (limit == 0 and fields.metric != _M.FAILURES):
        raise _wrong("The limit is a number above zero, like 2.5.", "limit")
    return limit


def limit_text(rule: AlertRule) -> str:
    """Return a rule's limit as it was typed: dollars, percent, seconds, or times."""
    if rule.limit is None:
        return ""
    is_money = rule.kind == _K.THRESHOLD and rule.metric == _M.SPEND
    unit = 1_000_000 if is_money else _UNITS["times" if rule.kind == _K.ANOMALY else rule.metric]
    return f"{rule.limit / unit:.6f}".rstrip("0").rstrip(".")


def _whom(actor: Actor, fields: AlertFields) -> tuple[list[str], list[str], list[str]]:
    roles, people, named = sorted(set(fields.roles)), sorted(set(fields.people)), sorted(set(fields.channels))
    if max(len(people), len(named)) > MOST_NAMED:
        raise _wrong(f"A rule names at most {MOST_NAMED} people and channels.", "people")
    known: Mapping[str, set[str]] = {
        "roles": set(Role),
        "people": set(
            Membership.objects.filter(workspace=actor.workspace, user__email__in=people).values_list(
                "user__email", flat=True
            )
        ),
        "channels": set(scoped(Channel, actor).filter(name__in=named).values_list("name", flat=True)),
    }
    for where, given in (("roles", roles), ("people", people), ("channels", named)):
        if missing := set(given) - known[where]:
            raise _wrong(f"There is no {min(missing)[:80]!r} here to tell.", where)
    if not roles and not people and not named:
        raise _wrong("Choose who is told: a role, people or a channel.", "roles")
    return roles, people, named


def _wrong(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_alert", where=f"/{where}")
