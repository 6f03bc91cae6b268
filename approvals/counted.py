"""The questions that a figure of approval health counts: the figure and its list are one condition."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse

from accounts.access import Actor, scoped
from accounts.errors import Invalid
from accounts.models import User
from approvals.clock import DUE, ClockTimestamp
from approvals.models import Approval, DecisionRecord
from approvals.questions import readable

BY_PEOPLE = Q(state__in=(Approval.State.APPROVED, Approval.State.REJECTED, Approval.State.ANSWERED))
_CLOCK = ClockTimestamp()
_EXPIRED = Q(state=Approval.State.EXPIRED)
STANDING = {
    "open": Q(),
    "overdue": DUE,
    "soon": Q(expires_at__gt=_CLOCK, expires_at__lte=_CLOCK + dt.timedelta(hours=1)),
    "unclaimed": Q(claimed_by=None, assigned_to=None),
}
ENDED = {
    "answered": BY_PEOPLE,
    "rejected": Q(state=Approval.State.REJECTED),
    "edited": Q(asked__isnull=False, state=Approval.State.APPROVED),
    "expired": _EXPIRED,
}
OF_A_PLACE = {"asked": Q(), "answered": BY_PEOPLE, "expired": _EXPIRED}
OF_A_PERSON = ("holds", "answered")
TITLES = {
    "open": "Open now",
    "overdue": "Overdue now",
    "soon": "Due within the hour",
    "unclaimed": "Open with nobody on it",
    "answered": "Answered",
    "rejected": "Rejected",
    "edited": "Edited and approved",
    "expired": "Expired",
    "asked": "Asked",
    "holds": "Held now",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A figure of all, of one person (an email) or of one pipeline (a slug), of what was done since a moment."""

    figure: str
    since: dt.datetime
    by: str = ""
    pipeline: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str], since: dt.datetime) -> "Asked":
        """Return what an address asks for, since this moment unless it names one; Invalid for no figure or moment."""
        asked = cls(given.get("figure", ""), since, given.get("by", "")[:254], given.get("pipeline", "")[:254])
        known = OF_A_PERSON if asked.by else OF_A_PLACE if asked.pipeline else {**STANDING, **ENDED}
        if asked.figure not in known:
            raise Invalid(f"`figure` is one of {', '.join(known)}.", code="unknown_figure", where="/figure")
        return replace(asked, since=_moment(given["since"])) if given.get("since") else asked

    @property
    def title(self) -> str:
        about = self.by or self.pipeline
        return f"{TITLES[self.figure]}: {about}" if about else TITLES[self.figure]

    @property
    def href(self) -> str:
        """The address of the questions that this counts."""
        given = {"figure": self.figure, "since": self.since.isoformat(), "by": self.by, "pipeline": self.pipeline}
        return f"{reverse('approval-counted')}?{urlencode({name: value for name, value in given.items() if value})}"


def _moment(text: str) -> dt.datetime:
    """Return a moment in UTC: PostgreSQL reads no offset as fine as Python does."""
    try:
        named = dt.datetime.fromisoformat(text)
        return (named if named.tzinfo else named.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Invalid("`since` is a moment, as 2026-11-20T14:00:00Z.", code="bad_time", where="/since") from None


def listed(actor: Actor, asked: Asked) -> QuerySet[Approval]:
    """Return the questions that a figure counts, of those that this person may read."""
    if asked.by:
        if asked.figure == "holds":
            return held(actor).filter(holder__in=_people(asked.by))
        return readable(actor).filter(pk__in=records(actor, asked.since).filter(by__email=asked.by).values("approval"))
    if asked.pipeline:
        return begun(actor, asked.since).filter(OF_A_PLACE[asked.figure], pipeline__slug=asked.pipeline)
    if asked.figure in STANDING:
        return standing(actor).filter(STANDING[asked.figure])
    return ended(actor, asked.since).filter(ENDED[asked.figure])


def standing(actor: Actor) -> QuerySet[Approval]:
    return readable(actor).filter(state=Approval.State.OPEN)


def ended(actor: Actor, since: dt.datetime) -> QuerySet[Approval]:
    return readable(actor).filter(decided_at__gte=since)


def begun(actor: Actor, since: dt.datetime) -> QuerySet[Approval]:
    return readable(actor).filter(created_at__gte=since)


def held(actor: Actor) -> QuerySet[Any]:
    """Return the open questions that somebody has: a claim is a firmer hold than an assignment, and one counts."""
    return standing(actor).annotate(holder=Coalesce("claimed_by", "assigned_to")).exclude(holder=None)


def records(actor: Actor, since: dt.datetime) -> QuerySet[DecisionRecord]:
    """Return what people decided and did not take back; of one question a person has one such decision."""
    rows = scoped(DecisionRecord, actor, through="approval__workspace").filter(withdrawn_at=None, at__gte=since)
    return rows if actor.sees_content else rows.filter(approval__in=readable(actor))


def _people(email: str) -> QuerySet[Any]:
    return User.objects.filter(email=email).values("pk")
