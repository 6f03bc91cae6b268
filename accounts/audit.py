"""The audit chain: what people and policy did, append-only, each entry hashed over the one before (per workspace)."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from accounts import second_line
from accounts.models import AuditEntry, User, Workspace

log = logging.getLogger("baton.audited")

_held: ContextVar[list[Callable[[], None]] | None] = ContextVar("baton_audit_held", default=None)

_UNSET = datetime(1970, 1, 1, tzinfo=UTC)

_PAGE = 5_000
# What was hashed, as the database writes it; the hash itself is not its word to give.
_ENTRIES = """
    SELECT seq, prev, hash, pg_catalog.jsonb_build_array(
        seq, pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), workspace_id, actor, action,
        target, data
    )::text
    FROM accounts_auditentry WHERE workspace_id = %s AND seq > %s ORDER BY seq LIMIT %s
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
    who = actor.email if isinstance(actor, User) else actor
    AuditEntry.objects.create(
        workspace=workspace,
        seq=0,
        at=_UNSET,
        actor=who,
        action=action,
        target=target[:254],
        data=data or {},
        prev=b"",
        hash=b"",
    )
    if log.isEnabledFor(logging.INFO):  # there is a log server, which is told what was kept
        told = {"workspace": workspace.slug, "actor": who, "action": action, "target": target, "data": data or {}}
        transaction.on_commit(partial(log.info, "%s %s %s", who, action, target, extra=told), robust=True)


def record_anyway(
    workspace: Workspace, actor: User | str, action: str, target: str = "", data: dict[str, Any] | None = None
) -> None:
    """As `record`, of something that is refused: also where the request's transaction is rolled back for that.

    Call it outside of any other transaction.
    """
    write = partial(record, workspace, actor, action, target, data)
    held = _held.get()
    if held is None:
        write()
    else:
        held.append(write)


@contextmanager
def anyway() -> Iterator[None]:
    """Write what is recorded anyway inside when this ends: to be entered before the transaction that may roll back."""
    held: list[Callable[[], None]] = []
    before = _held.set(held)
    try:
        yield
    finally:
        _held.reset(before)
        for write in held:
            write()


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

    Hashed here and not by the database, whose owner can replace what hashes there. A chain cut off at its end is whole:
    compare `head` with one noted down earlier. One query for each 5,000 entries.
    """
    before = b"\0"
    for place, (seq, prev, found, said) in enumerate(_entries(workspace), 1):
        if seq != place:
            return Broken(seq, "an entry before it is missing")
        if prev != before:
            return Broken(seq, "it does not follow the entry before it")
        if found != hashlib.sha256(prev + said.encode()).digest():
            return Broken(seq, "it was changed after it was written")
        before = found
    return None


def _entries(workspace: Workspace) -> Iterator[tuple[int, bytes, bytes, str]]:
    """Yield number, the hash before, the hash, and the text that was hashed of each entry, in order."""
    last = -(2**63)  # whoever writes past us may number as they like
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_ENTRIES, [workspace.pk, last, _PAGE])
            rows = cursor.fetchall()
        for seq, prev, found, said in rows:
            yield seq, bytes(prev), bytes(found), said
        if len(rows) < _PAGE:
            return
        last = rows[-1][0]


def head(workspace: Workspace) -> tuple[int, str]:
    """Return the number and the hash (hex) of the last entry; (0, "") when there is none."""
    last = AuditEntry.objects.filter(workspace=workspace).order_by("-seq").first()
    return (last.seq, bytes(last.hash).hex()) if last else (0, "")
