"""The audit log as people read it: narrowed, paged and exported. What it is made of: `audit`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts import asked as asked_of
from accounts import audit, days
from accounts.access import Actor, Capability, require, scoped
from accounts.models import AuditEntry

COLUMNS = ("seq", "at", "actor", "action", "target", "data", "hash")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for; an empty text leaves everything in, and so does a day that is none.

    `who` is an email or part of one, `what` an action, its beginning, or what was acted on; `since` and `until` are
    days of the workspace's zone, both included.
    """

    who: str = ""
    what: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Wanted":
        """Return what an address asks for."""
        return asked_of.read(cls, asked)

    @property
    def address(self) -> str:
        """The query of the address that shows this, without its question mark."""
        return asked_of.address(self)


@dataclass(frozen=True, slots=True)
class State:
    """What the check of the chain came to: how many entries, the last one's hash, and the first that is broken."""

    entries: int
    last: str
    broken: audit.Broken | None


def entries(actor: Actor, wanted: Wanted) -> QuerySet[AuditEntry]:
    """Return the entries that are asked for, the newest first; raise Forbidden."""
    require(actor, Capability.READ_AUDIT)
    rows = scoped(AuditEntry, actor).order_by("-seq")
    if wanted.who:
        rows = rows.filter(actor__icontains=wanted.who)
    if wanted.what:
        rows = rows.filter(Q(action__istartswith=wanted.what) | Q(target=wanted.what))
    return days.within(rows, wanted.since, wanted.until, actor.workspace.zone)


def checked(actor: Actor) -> State:
    """Hash every entry anew and say whether the chain is whole; takes a moment for a long log. Raises Forbidden."""
    require(actor, Capability.READ_AUDIT)
    count, last = audit.head(actor.workspace)
    return State(count, last, audit.verify(actor.workspace))


def row(entry: AuditEntry) -> dict[str, object]:
    """Return an entry as a row of the export, by COLUMNS."""
    values = (entry.seq, entry.at, entry.actor, entry.action, entry.target, said(entry), bytes(entry.hash).hex())
    return dict(zip(COLUMNS, values, strict=True))


def said(entry: AuditEntry) -> str:
    """Return what an entry says beside its action, as compact JSON; "" for nothing."""
    return json.dumps(entry.data, ensure_ascii=False, separators=(",", ":")) if entry.data else ""
