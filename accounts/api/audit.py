"""/audit: what people and policy did, for auditors and admins."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from accounts.access import Capability, actor_of, require, scoped
from accounts.models import AuditEntry
from accounts.paging import page
from accounts.schemas import EntryList

router = Router()


@router.get("/audit", response=EntryList)
def list_audit(
    request: HttpRequest,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Any:
    """List the audit log, newest first; `actor` is an email, `target` what was acted on."""
    reader = actor_of(request)
    require(reader, Capability.READ_AUDIT)
    wanted = {"actor": actor, "action": action, "target": target}
    rows = scoped(AuditEntry, reader).filter(**{name: value for name, value in wanted.items() if value is not None})
    return page(rows, cursor, limit, "-seq", _show)


def _show(entry: AuditEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "data": entry.data,
        "hash": bytes(entry.hash).hex(),
    }
