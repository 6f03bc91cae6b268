"""Violations of the content policy: counted in few rows, read by admins, forgotten after some weeks."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.db import DatabaseError
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from accounts import rates, reported, second_line
from accounts.access import Actor, Capability, require, scoped
from accounts.errors import TooMany
from accounts.models import Violation, Workspace
from accounts.reported import Reported

log = logging.getLogger("baton.content_policy")

KEPT = timedelta(days=30)
LATELY = timedelta(days=7)
MOST = 200
"""Rows of one workspace, and of none; what is new beyond them is counted in one more."""
MOST_OF_A_CLIENT, MOST_IN_ALL = 60, 1_200
REST = Reported(reported.OTHER, "", reported.OTHER, "")


@dataclass(frozen=True, slots=True)
class Lately:
    """What browsers reported within a week: how many kinds, how often in all, and the newest in words."""

    kinds: int
    count: int
    last: str


def take(content_type: str, body: bytes, client: str, workspace: Workspace | None) -> None:
    """Count what a browser reports. What the database does not take is lost, and nobody hears of it but the log.

    Raises NotAReport, TooMany (`too_many_reports`), and BadJson or Invalid for a body that is no JSON.
    """
    if not reported.is_report(content_type):
        raise reported.NotAReport
    _admit(client)
    try:
        for one, times in Counter(reported.read(content_type, body)).items():
            _count(workspace, one, times)
    except DatabaseError as error:
        log.warning("What a browser reported is lost: the database does not take it (%s).", type(error).__name__)


def _admit(client: str) -> None:
    for who, most in ((f"violations:{client}", MOST_OF_A_CLIENT), ("violations", MOST_IN_ALL)):
        count, left = rates.counted(who)
        if count > most:
            raise TooMany(f"More reports than are taken in a minute. Wait {left} s.", left, code="too_many_reports")


def _count(workspace: Workspace | None, one: Reported, times: int) -> None:
    rows = Violation.objects.filter(workspace=workspace)
    if rows.filter(**asdict(one)).update(count=F("count") + times, last_at=Now()):
        return
    if one != REST and rows.count() >= MOST:
        _count(workspace, REST, times)
        return
    _, is_new = Violation.objects.get_or_create(workspace=workspace, **asdict(one), defaults={"count": times})
    if not is_new:  # another process has just made it
        _count(workspace, one, times)


def seen_by(actor: Actor) -> QuerySet[Violation]:
    """Return the violations of the actor's workspace and those that came without a session, the newest first.

    Raises Forbidden.
    """
    require(actor, Capability.READ_VIOLATIONS)
    return (scoped(Violation, actor) | Violation.objects.filter(workspace=None)).order_by("-last_at", "-pk")


@second_line.everywhere()
def lately() -> Lately:
    """Return what browsers reported of the whole installation within a week."""
    rows = Violation.objects.filter(last_at__gt=timezone.now() - LATELY)
    newest = rows.order_by("-last_at", "-pk").first()
    if newest is None:
        return Lately(0, 0, "")
    total = rows.aggregate(total=Sum("count"))["total"]
    last = f"{newest.directive} refused {newest.blocked or 'something'} on {newest.page or 'a page of no pattern'}"
    return Lately(rows.count(), total, last)


def sweep() -> None:
    """Forget what no browser has reported for 30 days; called by the workers' poll."""
    Violation.objects.filter(last_at__lt=timezone.now() - KEPT).delete()
