"""One question as a line: what happens, how risky it is, how old, and by when it is due."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from django.utils import timezone

from accounts.access import Actor, get
from approvals import inbox, policy
from approvals.models import Approval
from approvals.views.words import ASKS, ICONS, MAIL_ICON
from approvals.words import Risk
from runs import family
from runs.models import Run

MOST = 200
SOON, MIDDLE = dt.timedelta(hours=1), dt.timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the inbox. `due` is the class of its clock: soon, mid or none; `mine`: this person may answer."""

    approval: Approval
    sentence: str
    risk: Risk | None
    icon: str
    asks: str
    due: str
    mine: bool = True


def waiting_for(actor: Actor) -> list[Item]:
    """Return the open questions that wait for this person, the next due first."""
    return items(inbox.mine(actor)[:MOST])


def of_run(actor: Actor, run_id: UUID | str) -> list[Item]:
    """Return the open questions of one run and of those that its steps started; NotFound outside of the workspace."""
    runs = family.ids_from(get(Run, actor, pk=run_id))
    mine = set(inbox.team(actor).filter(run__in=runs).values_list("pk", flat=True))
    found = inbox.open_for(actor).filter(run__in=runs)
    return [replace(item(approval), mine=approval.pk in mine) for approval in found]


def items(approvals: Iterable[Approval]) -> list[Item]:
    return [item(approval) for approval in approvals]


def item(approval: Approval) -> Item:
    return Item(
        approval=approval,
        sentence=inbox.sentence(approval),
        risk=inbox.risk(approval),
        icon=_icon(approval),
        asks=ASKS[approval.kind],
        due=_due(approval),
    )


def _icon(approval: Approval) -> str:
    tool = str((approval.action or {}).get("tool", ""))
    return MAIL_ICON if tool.startswith("email.") and approval.kind in policy.BOUND_KINDS else ICONS[approval.kind]


def _due(approval: Approval) -> str:
    if approval.expires_at is None:
        return ""
    left = approval.expires_at - timezone.now()
    return "soon" if left < SOON else "mid" if left < MIDDLE else ""
