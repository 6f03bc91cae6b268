"""The audit chain: what people and policy did, append-only, each entry hashed over the one before (per workspace)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from accounts import second_line
from accounts.models import AuditEntry, User, Workspace

_UNSET = datetime(1970, 1, 1, tzinfo=UTC)

_FIRST_BROKEN = r"""
    SELECT seq, CASE
        WHEN seq <> place THEN 'an entry before it is missing'
        WHEN prev <> coalesce(before, '\x00'::bytea) THEN 'it does not follow the entry before it'
        ELSE 'it was changed after it was written' END
    FROM (
        SELECT *, lag(hash) OVER chain AS before, row_number() OVER chain AS place
        FROM accounts_auditentry WHERE workspace_id = %s WINDOW chain AS (ORDER BY seq)
    ) AS entry
    WHERE seq <> place OR prev <> coalesce(before, '\x00'::bytea)
        OR hash <> audit_hash(prev, seq, at, workspace_id, actor, action, target, data)
    ORDER BY seq LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry of a workspace that is not as it was written, and why."""

    seq: int
    why: str


def record(
    workspace: Workspace, actor: User | str, action: str, target: str = "", data: dict[str, Any] | None = None
) -> None:
    """Append one entry. `action` is a past participle ("member_added"), `data` is JSON without secrets.

    The trigger `audit_chain` sets number, time and hash. It holds the workspace's audit lock until the transaction
    ends: record last, so that nobody waits long. One query.
    """
    AuditEntry.objects.create(
        workspace=workspace,
        seq=0,
        at=_UNSET,
        actor=actor.email if isinstance(actor, User) else actor,
        action=action,
        target=target[:254],
        data=data or {},
        prev=b"",
        hash=b"",
    )


@second_line.everywhere()
def hold(user: User, more: Iterable[Workspace]) -> None:
    """Take the audit locks of the person's workspaces and of more, in the order that everybody keeps to: by id.

    For a transaction that writes to several chains; rows that it locks it locks before.
    """
    ids = set(Workspace.objects.filter(memberships__user=user).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        for key in sorted(ids | {one.pk for one in more}):
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('audit:' || %s, 0))", [str(key)])


@second_line.everywhere()
def record_everywhere(user: User, action: str, target: str = "", data: dict[str, Any] | None = None) -> None:
    """Append what a person did to their own account to the chain of each workspace they act in."""
    for workspace in Workspace.objects.filter(memberships__user=user, memberships__deactivated_at=None).order_by("id"):
        record(workspace, user, action, target, data)


def verify(workspace: Workspace) -> Broken | None:
    """Return the first broken entry of the workspace's chain, or None while it is whole.

    A chain cut off at its end is whole: compare `head` with one noted down earlier.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_BROKEN, [workspace.pk])
        row = cursor.fetchone()
    return Broken(*row) if row else None


def head(workspace: Workspace) -> tuple[int, str]:
    """Return the number and the hash (hex) of the last entry; (0, "") when there is none."""
    last = AuditEntry.objects.filter(workspace=workspace).order_by("-seq").first()
    return (last.seq, bytes(last.hash).hex()) if last else (0, "")
