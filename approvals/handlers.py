"""What the desk does when the engine asks a question or withdraws one: pure handlers that return rows."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from approvals import policy
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from runs.effects import AskOnce, Close, Insert, Row, RunFacts
from runs.engine.decision import Event

TABLE = "approvals_approval"
# A question's id follows from its run and request, so that a repeated commit names the same row.
_NAMESPACE = uuid.UUID("5b3d0c1e-6f0a-5d53-9a51-6d1f0c6b7a11")
_MOST_APPROVALS = 32_767
_LONGEST_WAIT = 3_650 * 86_400.0
_ABOUT, _FOR_WHOM = 59, 20  # characters, and a colon between them


def ask(event: Event, run: RunFacts) -> list[Row]:
    """Return the approval's row for `approval_requested`; one about the same as another's (`shared`) is asked once.

    Only what the same people may see and answer is the same: nobody waits for one who is barred from their own run.
    """
    asked = event.payload
    row = {**_what(event), **_who(asked, run), **_when(asked, run.now)}
    if shared := str(asked.get("shared") or ""):
        for_whom = digest([run.pipeline_id, row["barred"]])[-_FOR_WHOM:]
        return [AskOnce({**row, "shared": f"{shared[:_ABOUT]}:{for_whom}"})]
    return [Insert(TABLE, row)]


def withdraw(event: Event, run: RunFacts) -> list[Row]:
    """Return the closing of a question the run no longer needs; any other decision came from the desk itself."""
    if event.payload.get("decision") != "cancelled":
        return []
    return [Close(run.id, str(event.payload["request"]))]


def id_of(run_id: str, request: str) -> str:
    """Return the id that the approval for this request of this run has or will have."""
    return str(uuid.uuid5(_NAMESPACE, f"{run_id}/{request}"))


def _what(event: Event) -> dict[str, Json]:
    asked = event.payload
    payload = asked.get("payload")
    return {
        "path": event.path or "",
        "request": asked["request"],
        "kind": asked["kind"],
        "state": "open",
        "title": str(asked.get("title") or "")[:300],
        "action": asked.get("action"),
        "payload": payload,
        "payload_hash": asked.get("payload_hash") or digest(payload),
        "show": asked.get("show") or {},
        "form": asked.get("form"),
        "why": str(asked.get("why") or ""),
        "trust": asked.get("trust") or {},
    }


def _who(asked: Mapping[str, Json], run: RunFacts) -> dict[str, Json]:
    kind = str(asked["kind"])
    not_starter = bool(asked.get("not_starter", True))
    # Cut to what the columns hold: a name too long is nobody's, and must not fail the run's commit.
    people = [str(email).lower()[:254] for email in asked.get("people") or ()]
    roles = [str(role)[:16] for role in asked.get("roles") or ()]
    if kind == "budget" or not (roles or people):
        roles = list(policy.default_roles(kind))
    barred = {*run.editors, *([run.started_by] if run.started_by else [])}
    return {
        "id": id_of(run.id, str(asked["request"])),
        "workspace_id": run.workspace_id,
        "pipeline_id": run.pipeline_id,
        "run_id": run.id,
        "roles": roles,
        "people": people,
        "min_approvals": min(max(1, int(asked.get("min_approvals") or 1)), _MOST_APPROVALS),
        "not_starter": not_starter,
        "barred": sorted(barred) if policy.is_barred_kind(kind, not_starter) else [],
    }


def _when(asked: Mapping[str, Json], now: datetime) -> dict[str, Json]:
    expires = asked.get("expires")
    due = None if expires is None else now + timedelta(seconds=min(float(expires), _LONGEST_WAIT))
    return {
        "created_at": now.isoformat(),
        "expires_at": due.isoformat() if due else None,
        "on_expire": str(asked.get("on_expire") or "reject")[:10],
    }
