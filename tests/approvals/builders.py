"""Plain builders of the rows around a question: a published pipeline, a run of it, and an open approval."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from accounts.access import Actor
from accounts.models import User, Workspace
from approvals import attention, deadlines, handlers
from approvals.models import Absence, Approval, Rule
from approvals.policy import Decision
from pipelines.graph.canonical import digest
from pipelines.library.tools import TOOLS
from pipelines.models import Pipeline, PipelineVersion
from runs.effects import Insert, RunFacts
from runs.engine.decision import Event
from runs.models import Run
from tests.people import Team, a_team, acting

_numbers = count(1)
EMAIL: dict[str, Any] = {
    "tool": "email.send@1",
    "args": {"to": "ana@northwind.example", "subject": "Hello", "body": "Good morning, Ana."},
}


@dataclass(frozen=True)
class Desk:
    """A team with a run that alice started, of a version that she edited."""

    team: Team
    run: Run

    def actor(self, name: str) -> Actor:
        return acting(getattr(self.team, name))


def a_desk() -> Desk:
    team = a_team()
    return Desk(team, a_run(team.workspace, team.alice))


def a_version(workspace: Workspace, *editors: User) -> PipelineVersion:
    number = next(_numbers)
    pipeline = Pipeline.objects.create(workspace=workspace, slug=f"outreach-{number}", name="Prospect outreach")
    lock = {"agents": {}, "prices": {}, "then": {}, "tools": {tool.id: tool.as_json() for tool in TOOLS.values()}}
    return PipelineVersion.objects.create(
        pipeline=pipeline,
        number=1,
        hash=digest(number),
        document={"id": pipeline.slug},
        lock=lock,
        editors=[editor.pk for editor in editors],
    )


def a_run(workspace: Workspace, starter: User | None, *editors: User) -> Run:
    version = a_version(workspace, *editors)
    return Run.objects.create(
        workspace=workspace, pipeline=version.pipeline, version=version, number=next(_numbers), started_by=starter
    )


def asked(**changes: Any) -> dict[str, Any]:
    """Return the payload of an `approval_requested` event, as the engine emits it for an email."""
    payload = changes.get("payload", EMAIL)
    return {
        "request": f"send#{next(_numbers)}",
        "kind": "approve",
        "title": "Send an email",
        "action": {"tool": "email.send@1", "effect": "irreversible"},
        "payload": payload,
        "payload_hash": digest(payload),
        "show": {},
        "form": None,
        "why": "Sending an email cannot be undone.",
        "trust": {"/args/body": "model"},
        "roles": ["reviewer"],
        "people": [],
        "min_approvals": 1,
        "not_starter": True,
        "expires": 3600,
        "on_expire": "reject",
        **changes,
    }


def facts_of(run: Run, **changes: Any) -> RunFacts:
    known = {
        "id": str(run.pk),
        "workspace_id": str(run.workspace_id),
        "pipeline_id": str(run.pipeline_id),
        "version_id": str(run.version_id),
        "started_by": str(run.started_by_id) if run.started_by_id else None,
        "editors": tuple(str(editor) for editor in run.version.editors),
        "now": timezone.now(),
    }
    return RunFacts(**{**known, **changes})


def an_approval(run: Run, **changes: Any) -> Approval:
    """Return an open approval made as the engine's commit makes it: by the handler's row."""
    event = Event("approval_requested", "send", asked(**changes))
    [row] = handlers.ask(event, facts_of(run))
    assert isinstance(row, Insert)
    created = Approval.objects.create(**row.row)
    created.refresh_from_db()
    return created


def a_question(run: Run, kind: str, **changes: Any) -> Approval:
    """Return an open question of this kind, without a call to carry out."""
    calm = {"kind": kind, "action": None, "payload": None, "payload_hash": "", "title": f"A {kind}", "trust": {}}
    return an_approval(run, **{**calm, "roles": [], **changes})


def approve(approval: Approval, **changes: Any) -> Decision:
    return Decision(**{"decision": "approve", "payload_hash": approval.payload_hash, **changes})


def fall_due(approval: Approval, by: timedelta = timedelta(seconds=1)) -> None:
    Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() - by)


def a_rule(workspace: Workspace, *levels: dict[str, Any], **changes: Any) -> Rule:
    """Return a rule of the workspace; unless told otherwise one manager has to approve beside, whatever it is."""
    asked = [{"roles": [], "people": [], "within": None, **level} for level in levels or ({"roles": ["manager"]},)]
    known = {"name": f"Rule {next(_numbers)}", "levels": asked, "remind_half": False}
    return Rule.objects.create(workspace=workspace, **{**known, **changes})


def away(person: User, delegate: User, workspace: Workspace) -> Absence:
    """Return the absence, from yesterday to tomorrow, of somebody for whom the delegate answers."""
    day = timedelta(days=1)
    span = {"starts_at": timezone.now() - day, "ends_at": timezone.now() + day}
    return Absence.objects.create(workspace=workspace, person=person, delegate=delegate, **span)


def wait(approval: Approval, by: timedelta) -> None:
    """Let so much time pass for a question: all its moments move into the past, and the clock looks at it."""
    moved = Approval.objects.get(pk=approval.pk)
    moved.turns = {rule: _earlier(turn, by) for rule, turn in moved.turns.items()}
    moved.created_at -= by
    moved.expires_at = moved.expires_at and moved.expires_at - by
    moved.wakes_at = moved.wakes_at and moved.wakes_at - by
    moved.save(update_fields=["turns", "created_at", "expires_at", "wakes_at"])
    attention.attend_waking()
    deadlines.expire_due()


def _earlier(turn: dict[str, Any], by: timedelta) -> dict[str, Any]:
    def move(text: str | None) -> str | None:
        return text and (datetime.fromisoformat(text) - by).isoformat()

    return {**turn, "since": move(turn["since"]), "ends": [move(end) for end in turn["ends"]]}
