"""Heads of the audit chains, one a day, sent to where nobody who has the database can change them.

A chain that was cut off at its end is whole; against a head that was kept elsewhere the cut shows.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AuditEntry, AuditHead

AT_ONCE = 1_000
_NOTE = """
INSERT INTO accounts_audithead (workspace_id, day, seq, hash)
SELECT w.id, (now() AT TIME ZONE 'UTC')::date, last.seq, last.hash FROM accounts_workspace AS w CROSS JOIN LATERAL (
    SELECT seq, hash FROM accounts_auditentry WHERE workspace_id = w.id ORDER BY seq DESC LIMIT 1
) AS last ON CONFLICT (workspace_id, day) DO NOTHING
"""
Head = dict[str, Any]


def keep(send: Callable[[list[Head]], None]) -> None:
    """Write down today's heads where they are not yet, and send those that were not.

    A head is {"workspace", "day", "seq", "hash"}, the hash in hex. What `send` raises is raised, and they are sent
    again next time. Two processes at once send each head once.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_NOTE)
        rows = AuditHead.objects.select_for_update(skip_locked=True, of=("self",)).filter(sent_at=None)
        waiting = list(rows.select_related("workspace").order_by("day", "pk")[:AT_ONCE])
        if waiting:
            send([_told(head) for head in waiting])
            AuditHead.objects.filter(pk__in=[head.pk for head in waiting]).update(sent_at=timezone.now())


def _told(head: AuditHead) -> Head:
    day, digest = head.day.isoformat(), bytes(head.hash).hex()
    return {"workspace": head.workspace.slug, "day": day, "seq": head.seq, "hash": digest}


def read(lines: Iterable[str]) -> Iterator[Head]:
    """Give the heads of a file of ours, or of what a webhook was sent, one JSON object a line; raises ValueError."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            for one in said.get("heads", [said]):
                yield {name: one[name] for name in ("workspace", "day", "seq", "hash")}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"Line {number} is no head of an audit log.") from error


def differs(head: Head) -> str | None:
    """Return what is wrong with the chain that had this head, or None."""
    entry = AuditEntry.objects.filter(workspace__slug=head["workspace"], seq=head["seq"]).first()
    if entry is None:
        return f"entry {head['seq']}, which was the last on {head['day']}, is missing"
    if bytes(entry.hash).hex() != head["hash"]:
        return f"entry {head['seq']} is not the one that was the last on {head['day']}"
    return None
