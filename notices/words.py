"""What a notice says: a subject of our own words, and beside it the words of others, made safe to print."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse

from approvals import inbox
from approvals.models import Approval, Comment
from approvals.words import plain
from notices.models import TEST, Event, Kind
from pipelines.graph.model import Json

LONGEST_SUBJECT = 200
LONGEST_SAID = 400
_JOINER = "\u2060"


@dataclass(frozen=True, slots=True)
class Said:
    """`subject` holds nothing that a model wrote; `said` may, and is one line of printable text. `place` is a path."""

    subject: str
    said: str
    place: str


def of(event: Event) -> Said:
    """Return what an event says. At most one query, of an event with all that it is about."""
    if event.kind == TEST:
        return Said("A test from Baton", "It works: this channel is reached.", reverse("preferences"))
    if event.kind == Kind.BUDGET:
        return _money(event)
    if event.kind == Kind.ALERT:
        subject = f"{plain(str(event.data.get('rule')), 80)}: {plain(str(event.data.get('found')), 120)}"
        return Said(subject[:LONGEST_SUBJECT], plain(str(event.data.get("said")), LONGEST_SAID), reverse("alerts"))
    approval = event.approval
    if approval is None:
        raise ValueError(f"The event {event.pk} of kind {event.kind} is about no question.")
    subject, said = _OF_A_QUESTION[Kind(event.kind)](event, approval)
    which = f"{plain(approval.pipeline.name)}, run {approval.run.number}"
    return Said(f"{subject}: {which}"[:LONGEST_SUBJECT], said, reverse("approval", args=[approval.pk]))


def named(approval: Approval) -> str:
    """Return which run a question is of, for a line of an email."""
    return unlinked(f"{plain(approval.pipeline.name)}, run {approval.run.number}")


def absolute(place: str) -> str:
    """Return the address of one of our pages, as it stands in a message."""
    return f"{settings.BASE_URL}{place}"


def unlinked(text: str) -> str:
    """Return text that no mail or chat program makes a link of: others' words must not lead anybody anywhere.

    An invisible joiner stands after each mark that an address is known by. It changes nothing that is read.
    """
    return "".join(f"{c}{_JOINER}" if c in ".:/@" else c for c in text)


def moment(at: datetime, zone: ZoneInfo) -> str:
    """Return a moment as it is on this person's clock, with the day and the zone: mail is read later."""
    return f"{at.astimezone(zone):%a %-d %b %Y, %H:%M} ({zone.key})"


def _asked(event: Event, approval: Approval) -> tuple[str, str]:
    return "A question waits for you", inbox.sentence(approval)


def _assigned(event: Event, approval: Approval) -> tuple[str, str]:
    return f"{_who(event)} handed you a question", inbox.sentence(approval)


def _reminder(event: Event, approval: Approval) -> tuple[str, str]:
    return "A question falls due soon", inbox.sentence(approval)


def _escalated(event: Event, approval: Approval) -> tuple[str, str]:
    return "A question is passed up to you", inbox.sentence(approval)


def _commented(event: Event, approval: Approval) -> tuple[str, str]:
    written = Comment.objects.filter(approval=approval, pk=event.data.get("comment")).first()
    return f"{_who(event)} commented on a question", plain(written.text, LONGEST_SAID) if written else ""


def _information(event: Event, approval: Approval) -> tuple[str, str]:
    return f"{_who(event)} asks you about a question", _commented(event, approval)[1]


def _decided(event: Event, approval: Approval) -> tuple[str, str]:
    if event.data.get("name") == "expired":
        return "Nobody answered in time", inbox.sentence(approval)
    verdict = {"approved": "approved", "rejected": "rejected"}.get(approval.state, "answered")
    return f"{_who(event)} {verdict} a question", inbox.sentence(approval)


_OF_A_QUESTION: Mapping[Kind, Callable[[Event, Approval], tuple[str, str]]] = {
    Kind.ASKED: _asked,
    Kind.ASSIGNED: _assigned,
    Kind.REMINDER: _reminder,
    Kind.ESCALATED: _escalated,
    Kind.COMMENTED: _commented,
    Kind.INFORMATION: _information,
    Kind.DECIDED: _decided,
}


def _who(event: Event) -> str:
    return plain(str(event.by), 80) if event.by else "Baton"


def _money(event: Event) -> Said:
    data, run = event.data, event.run
    pipeline = plain(run.pipeline.name) if run else ""
    place = reverse("run", args=[run.pk]) if run else reverse("costs")
    if data.get("above_reservation"):
        said = f"${data.get('cost_usd')} were charged where at most ${data.get('reserved_usd', '?')} were expected."
        return Said(f"A call cost more than expected: {pipeline}"[:LONGEST_SUBJECT], said, place)
    share = f"{float(data.get('at') or 0):.0%}"
    said = f"${data.get('spent_usd')} of ${data.get('cap_usd')} are spent."
    if data.get("refused"):
        said = f"{said} What is left does not do for the next call."
    if not data.get("scope"):
        whose = f"{pipeline}, run {run.number}" if run else "a run"
        return Said(f"{share} of a run's cap is used: {whose}"[:LONGEST_SUBJECT], said, place)
    named = {"workspace": plain(event.workspace.name), "tag": f"tag {plain(str(data.get('tag')), 63)}"}
    whose = named.get(str(data["scope"]), plain(str(data.get("pipeline", ""))) or pipeline)
    subject = f"{share} of the budget is used: {whose}, {_period(data)}"
    return Said(subject[:LONGEST_SUBJECT], said, reverse("budgets"))


def _period(data: Mapping[str, Json]) -> str:
    try:
        start = date.fromisoformat(str(data.get("period_start")))
    except ValueError:
        return "its period"
    return f"{start:%-d %B %Y}" if data.get("period") == "day" else f"{start:%B %Y}"
