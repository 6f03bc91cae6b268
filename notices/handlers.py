"""What is worth telling, as rows beside what happened: in the commit of the run, or in the transaction of the desk."""

import hashlib

from django.db import transaction
from django.db.models.functions import Now

from accounts.ids import new_id
from accounts.models import User
from approvals import handlers as desk
from approvals.models import Approval
from approvals.models import Notice as Told
from approvals.telling import Act
from notices.models import Event as Happened
from notices.models import Kind
from pipelines.graph.model import Json
from runs.effects import Insert, Row, RunFacts
from runs.engine.decision import Event

TABLE = "notices_event"
_OF_ACT = {
    "assigned": Kind.ASSIGNED,
    "commented": Kind.COMMENTED,
    "information": Kind.INFORMATION,
    "decided": Kind.DECIDED,
}
_OF_CLOCK = {"reminder": Kind.REMINDER, "escalated": Kind.ESCALATED, "expired": Kind.DECIDED}
MOST = 200
_AMOUNTS = ("cap_usd", "cost_usd")
_ALERT = (
    *("scope", "tag", "pipeline", "period", "period_start", "at", "spent_usd", "refused"),
    *("above_reservation", "reserved_usd"),
    *_AMOUNTS,
)


def asked(event: Event, run: RunFacts) -> list[Row]:
    """Return the row that tells of a question, for `approval_requested`. Its key follows from run and request."""
    approval = desk.id_of(run.id, str(event.payload["request"]))
    return [_row(run, Kind.ASKED, f"asked:{approval}", {}, approval)]  # none where another run has asked the same


def alerted(event: Event, run: RunFacts) -> list[Row]:
    """Return the row that tells of money, for `budget_alert`; the same threshold of the same cap is one row.

    What an evaluation's runs use of their own caps is told on its page; of a day's or month's budget, to everybody.
    """
    if run.unattended and "period" not in event.payload:
        return []
    said = {name: event.payload[name] for name in _ALERT if name in event.payload}
    if event.path:
        said["path"] = event.path
    which = ("scope", "tag", "pipeline", "period", "period_start", "at", *_AMOUNTS)
    marks = [event.path, *(event.payload.get(name) for name in which)]
    return [_row(run, Kind.BUDGET, f"money:{run.id}:{_digest(marks)}", said)]


def acted(act: Act) -> None:
    """Write down an act of the desk, once per approval, name and mark; in the transaction of the act."""
    key = f"{act.name}:{act.approval.pk}:{act.mark or new_id()}"
    _write([_of_question(act.approval, _OF_ACT[act.name], key, {**act.data, "name": act.name}, act.by)])


def take_from_clock() -> None:
    """Write down what the clock has done to questions, at most 200 at a time, each once."""
    if not Told.objects.filter(taken_at=None).exists():
        return
    with transaction.atomic():
        rows = Told.objects.select_for_update(skip_locked=True, of=("self",)).filter(taken_at=None)
        taken = list(rows.select_related("approval").order_by("id")[:MOST])
        _write([_of_clock(one) for one in taken])
        if taken:
            Told.objects.filter(pk__in=[one.pk for one in taken]).update(taken_at=Now())


def _of_clock(one: Told) -> Happened:
    said: dict[str, Json] = {"to": list(one.audience), "name": one.kind}
    return _of_question(one.approval, _OF_CLOCK[one.kind], f"clock:{one.pk}", said)


def _of_question(approval: Approval, kind: str, key: str, data: dict[str, Json], by: User | None = None) -> Happened:
    return Happened(
        workspace_id=approval.workspace_id,
        kind=kind,
        key=key[:200],
        approval=approval,
        run_id=approval.run_id,
        by=by,
        data=data,
    )


def _write(happened: list[Happened]) -> None:
    Happened.objects.bulk_create(happened, ignore_conflicts=True)


def _row(run: RunFacts, kind: str, key: str, data: dict[str, Json], approval: str | None = None) -> Insert:
    row = {"workspace_id": run.workspace_id, "kind": str(kind), "key": key, "run_id": run.id, "data": data}
    return Insert(TABLE, {**row, "approval_id": approval}, beside=approval)


def _digest(marks: list[Json]) -> str:
    return hashlib.sha256("\n".join(map(str, marks)).encode()).hexdigest()[:32]
