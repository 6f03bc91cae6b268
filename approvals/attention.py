"""What the clock does to an open question: count its deadlines, remind, and ask the next level of a rule.

A question is looked at once `wakes_at` is reached: by a worker's poll, or by whoever takes its lock before that. So
nobody ever meets a question whose rules have not been counted.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts import audit
from approvals import ruling, timetable
from approvals.clock import STILL_OPEN, ClockTimestamp
from approvals.models import Approval, Notice
from approvals.policy import Question
from approvals.questions import question_of
from approvals.ruling import Rule

BATCH = 200
_WAKING = STILL_OPEN & Q(wakes_at__lte=ClockTimestamp(), held_until=None)
_CHANGED = ("turns", "also_roles", "also_people", "expires_at", "wakes_at", "claimed_by", "assigned_to")


def attend_waking() -> None:
    """Look at the questions whose moment has come, at most 200 at a time. Safe when several workers do it at once."""
    waking = Approval.objects.filter(_WAKING).order_by("wakes_at").values_list("pk", flat=True)[:BATCH]
    for approval_id in list(waking):
        attend(approval_id)


def attend(approval_id: UUID) -> bool:
    """Look at one question if its moment has come and nobody holds its row; return whether this call did it."""
    with transaction.atomic():
        rows = Approval.objects.select_for_update(skip_locked=True, of=("self",)).annotate(looked_at=ClockTimestamp())
        approval = rows.select_related("workspace").filter(_WAKING, pk=approval_id).first()
        if approval is None:
            return False
        look(approval, approval.looked_at)
        return True


def look(approval: Approval, now: datetime) -> None:
    """Bring a question whose row is locked up to this moment, if its moment has come: once per level and reminder.

    While it is held nobody has to be reminded; taken back, it is caught up with.
    """
    if approval.held_until or approval.wakes_at is None or approval.wakes_at > now:
        return
    question = question_of(approval)
    next_moments = [_take_turn(approval, rule, now) for rule in question.applied]
    _ask_also(approval, question_of(approval))
    _tighten(approval, question)
    next_moments.append(_remind_of_deadline(approval, question, now))
    approval.wakes_at = min((moment for moment in next_moments if moment), default=None)
    approval.save(update_fields=_CHANGED)


def notice(approval: Approval, kind: Notice.Kind, mark: str, audience: list[str]) -> None:
    """Write down that these roles and addresses are to be told something; the same again changes nothing."""
    Notice.objects.bulk_create(
        [Notice(approval=approval, kind=kind, mark=mark, audience=audience)], ignore_conflicts=True
    )


def everyone(approval: Approval) -> list[str]:
    """Return the roles and addresses that a question is for by now."""
    return sorted({*approval.roles, *approval.also_roles}) + sorted({*approval.people, *approval.also_people})


def _take_turn(approval: Approval, rule: Rule, now: datetime) -> datetime | None:
    """Escalate a rule as far as its time is up, write its reminders, and return when to look again."""
    since = approval.created_at if approval.asked is None else now
    first = {"level": 0, "ends": [_text(end) for end in timetable.ends(rule, since)], "since": _text(since)}
    turn = approval.turns.setdefault(rule.id, first)
    ends = [_moment(end) for end in turn["ends"]]
    begin, level, last = _moment(turn["since"]) or since, int(turn["level"]), len(ends) - 1
    begin = (ends[level - 1] if level else None) or begin
    while level < last and (end := ends[level]) and end <= now:
        begin, level = end, level + 1
        turn["level"] = level
        _escalate(approval, rule, level, end)
    end = ends[level]
    if end is None:
        return None
    due = timetable.reminders(begin, end, half=rule.remind_half, before=rule.remind_before)
    for reminder in due:
        if reminder.at <= now:
            notice(approval, Notice.Kind.REMINDER, f"{rule.id}/{level}/{reminder.mark}", _names(rule, level))
    later = [reminder.at for reminder in due if reminder.at > now]
    return min(later, default=end if level < last else None)


def _escalate(approval: Approval, rule: Rule, level: int, at: datetime) -> None:
    """Ask the next level too. Nobody is on it any more: those who were had their time."""
    approval.claimed_by = approval.assigned_to = None
    to = _names(rule, level)
    notice(approval, Notice.Kind.ESCALATED, f"{rule.id}/{level}", to)
    data = {"run": str(approval.run_id), "rule": rule.name, "level": level + 1, "to": to, "due": _text(at)}
    audit.record(approval.workspace, "policy", "approval.escalated", str(approval.pk), data)


def _ask_also(approval: Approval, question: Question) -> None:
    """Keep whom the rules ask in columns of their own, for lists."""
    needs = question.needs[1:]
    approval.also_roles = sorted({role for need in needs for role in need.roles})
    approval.also_people = sorted({email for need in needs for email in need.people})


def _tighten(approval: Approval, question: Question) -> None:
    """A rule's last level ends the question, unless the pipeline's own deadline comes first. It never gets longer."""
    approval.expires_at = min(
        (end for end in (approval.expires_at, *_last_ends(approval, question)) if end), default=None
    )


def _last_ends(approval: Approval, question: Question) -> list[datetime | None]:
    return [_moment(approval.turns[rule.id]["ends"][-1]) for rule in question.applied]


def _remind_of_deadline(approval: Approval, question: Question, now: datetime) -> datetime | None:
    """Remind of the question's own deadline, half way and an hour before; return when the next reminder is due.

    A deadline that is a rule's has the reminders of that rule.
    """
    if approval.expires_at is None or approval.expires_at in _last_ends(approval, question):
        return None
    due = timetable.reminders(approval.created_at, approval.expires_at)
    for reminder in due:
        if reminder.at <= now:
            notice(approval, Notice.Kind.REMINDER, reminder.mark, everyone(approval))
    return min((reminder.at for reminder in due if reminder.at > now), default=None)


def _names(rule: Rule, level: int) -> list[str]:
    need = ruling.need(rule, level)
    return sorted(need.roles) + sorted(need.people)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
