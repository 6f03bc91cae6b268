"""The daily email: what waits for a person, what happened, and for managers what yesterday cost."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone

from accounts import access
from accounts.access import Actor
from accounts.errors import NotFound
from accounts.models import Membership, Workspace
from approvals import inbox
from approvals.clock import ClockTimestamp
from notices import audience, hours, words
from notices import inbox as told
from notices.letters import Letter, Line
from notices.models import DIGEST, Delivery, Digest, How, Notice
from notices.wishes import DEFAULT_HOUR
from pipelines.graph.money import dollars
from runs import costs

SHOWN = 20
DEAREST = 5
MOST, SECONDS = 20, 0.5
ENROL_SECONDS = 60.0
BATCH = 500
_enrolled_at = 0.0


def write_due() -> None:
    """Write the digests whose hour has come; now and then give new members theirs. Safe in several workers at once."""
    global _enrolled_at  # noqa: PLW0603 - one clock per process, so that not every poll asks for new members
    if time.monotonic() - _enrolled_at > ENROL_SECONDS or not _enrolled_at:
        _enrolled_at = time.monotonic()
        enrol()
    until = time.monotonic() + SECONDS
    for _ in range(MOST):
        if not _next() or time.monotonic() > until:
            return


def enrol() -> None:
    """Give members who have none a daily email at the usual hour, from the next time it strikes."""
    theirs = Digest.objects.filter(workspace=OuterRef("workspace"), user=OuterRef("user"))
    missing = Membership.objects.active().filter(~Exists(theirs))
    made = [
        Digest(
            workspace_id=one.workspace_id,
            user=one.user,
            hour=DEFAULT_HOUR,
            next_at=hours.next_digest(one.user.tzinfo, DEFAULT_HOUR),
        )
        for one in missing.select_related("user")[:BATCH]
    ]
    Digest.objects.bulk_create(made, ignore_conflicts=True)


def letter(notice: Notice, reader: Actor) -> Letter | None:
    """Return the digest as it stands now, or None when there is nothing to say any more."""
    since, until = (datetime.fromisoformat(notice.data[name]) for name in ("since", "until"))
    sections = _sections(reader, since, until)
    if not sections:
        return None
    day = until.astimezone(reader.user.tzinfo)
    return Letter(
        subject=f"{notice.subject}, {day:%-d %B %Y}",
        action="Open your approvals",
        url=words.absolute(reverse("approvals")),
        sections=sections,
    )


def _next() -> bool:
    with transaction.atomic():
        rows = Digest.objects.select_for_update(skip_locked=True, of=("self",)).filter(next_at__lte=ClockTimestamp())
        due = rows.select_related("user", "workspace").order_by("next_at").first()
        if due is None:
            return False
        now = timezone.now()
        _write(due, now)
        due.next_at = hours.next_digest(due.user.tzinfo, due.hour, max(now, due.next_at or now))
        due.save(update_fields=["next_at"])
    return True


def _write(due: Digest, now: datetime) -> None:
    """Write today's digest, of which there is one however often this is asked for, if there is anything to say."""
    try:
        reader = access.actor_for(due.user, due.workspace.slug)
    except NotFound:
        return
    before = Notice.objects.filter(workspace=due.workspace, user=due.user, kind=DIGEST).order_by("-created_at").first()
    since = before.created_at if before else due.user.created_at
    if not _sections(reader, since, now):
        return
    today = now.astimezone(due.user.tzinfo).date()
    notice = Notice(
        workspace=due.workspace,
        user=due.user,
        kind=DIGEST,
        subject="Your day in Baton",
        data={"since": since.isoformat(), "until": now.isoformat()},
        key=f"digest:{due.workspace_id}:{due.user_id}:{today}",
        read_at=now,
    )
    Notice.objects.bulk_create([notice], ignore_conflicts=True)
    if Notice.objects.filter(pk=notice.pk).exists():
        Delivery.objects.create(workspace=due.workspace, notice=notice)


def _sections(reader: Actor, since: datetime, until: datetime) -> tuple[tuple[str, tuple[Line, ...]], ...]:
    found = [_waiting(reader), _happened(reader, since, until)]
    if audience.manages(reader):
        found.append(_spent(reader, until))
    return tuple((name, lines) for name, lines in found if lines)


def _waiting(reader: Actor) -> tuple[str, tuple[Line, ...]]:
    zone, rows = reader.user.tzinfo, inbox.mine(reader)
    lines = []
    for one in rows[:SHOWN]:
        due = f", due {words.moment(one.expires_at, zone)}" if one.expires_at else ""
        lines.append(Line("", f"{words.unlinked(inbox.sentence(one))} ({words.named(one)}{due})"))
    count = rows.count() if len(lines) == SHOWN else len(lines)
    return f"{count} question{'' if count == 1 else 's'} wait{'s' if count == 1 else ''} for you", tuple(lines)


def _happened(reader: Actor, since: datetime, until: datetime) -> tuple[str, tuple[Line, ...]]:
    rows = told.mine(reader).filter(how=How.DIGEST, read_at=None)
    rows = rows.filter(created_at__gt=since, created_at__lte=until).order_by("created_at", "id")
    lines = (Line(words.unlinked(one.subject), words.unlinked(str(one.data.get("said", "")))) for one in rows[:SHOWN])
    return "Since the last email", tuple(lines)


def _spent(reader: Actor, now: datetime) -> tuple[str, tuple[Line, ...]]:
    """Yesterday is the workspace's, as on the costs page; a price that is unknown is said, never added as nothing."""
    workspace = reader.workspace
    zone = ZoneInfo(workspace.zone)
    begin, end = hours.day_before(zone, now)
    spent = costs.between(workspace, begin, end)
    if not spent.calls:
        return "Spent yesterday", ()
    said = "unknown price" if spent.micros is None else f"${dollars(spent.micros)}"
    if spent.unpriced and spent.micros is not None:
        said += f", and {spent.unpriced} calls of unknown price"
    before, _ = hours.day_before(zone, begin)
    earlier = costs.between(workspace, before, begin)
    day = begin.astimezone(zone).date()
    page = f"{words.absolute(reverse('costs'))}?from={day}&to={day}&workspace={workspace.slug}"
    caps = costs.caps(workspace, costs.Period.around(workspace, now))
    budgets = (
        Line(
            words.unlinked(f"{cap.name}, this {cap.period}"),
            f"${dollars(cap.spent_micros)} of ${dollars(cap.max_micros)}",
        )
        for cap in caps[:SHOWN]
    )
    lines = [Line("All pipelines", said), *_dearest(workspace, begin, end)]
    if earlier.micros:
        lines.append(Line("The day before", f"${dollars(earlier.micros)}"))
    return "Spent yesterday", (*lines, Line("What for", page), *budgets)


def _dearest(workspace: Workspace, begin: datetime, end: datetime) -> list[Line]:
    """Return the pipelines that cost most on a day."""
    found = costs.by_pipeline(workspace, begin, end)
    return [Line(words.unlinked(name), f"${dollars(micros)}") for name, micros in found[:DEAREST]]
