"""Two workspaces with one of everything the API and the pages show, and who may do what by which role."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import secrets, tokens
from accounts.access import Actor
from accounts.models import ApiToken, User, Workspace
from accounts.roles import Role, Scope
from approvals import absences, rules
from approvals.absences import AbsenceFields
from approvals.models import Absence, Approval, DecisionRecord, Rule
from approvals.rules import CalendarFields, LevelFields, RuleFields
from evals import cases, datasets, evaluations, ratings
from evals.ratings import Opinion
from notices import alerts, channels
from notices.alerts import AlertFields
from notices.channels import ChannelFields
from notices.models import AlertRule, Delivery, Kind, Notice
from pipelines import budgets, publish
from pipelines.budgets import BudgetFields
from pipelines.graph.canonical import canonical_json, digest
from pipelines.knowledge import collections
from pipelines.knowledge.models import Document
from pipelines.library import agents, connections
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.models import Budget, Pipeline
from runs import agent_tests
from runs.budgets import period_start
from runs.models import Artifact, BudgetCounter, Event, LedgerEntry, Run, SentEvent, Span, Step
from runs.services import Order, start_run
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.approvals.builders import an_approval
from tests.people import Team, a_member, a_team
from tests.pipelines.builders import a_published_pipeline

SOON = [{"type": "latency", "max_seconds": 60}]
PRICES = {"local-model": {"input_per_million": "0.10", "output_per_million": "0.40"}}
ABSENT = "018f0000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Things:
    """One of everything in one workspace, by the names under which addresses know it."""

    pipeline: Pipeline
    agent: str
    connection: str
    secret: str
    member: str
    token: ApiToken
    budget: Budget
    run: Run
    trial: Run
    artifact: str
    approval: Approval
    rejected: Approval
    document: Document
    notice: Notice
    channel: str
    delivery: Delivery
    rule: Rule
    absence: Absence
    trigger: str
    alert: AlertRule
    dataset: str
    evaluation: str
    answer: str

    def ids(self) -> dict[str, str]:
        return {
            "pipeline": self.pipeline.slug,
            "agent": self.agent,
            "connection": self.connection,
            "server": "acme-files",
            "secret": self.secret,
            "member": self.member,
            "token": str(self.token.pk),
            "budget": str(self.budget.pk),
            "run": str(self.run.pk),
            "trial": str(self.trial.pk),
            "artifact": self.artifact,
            "approval": str(self.approval.pk),
            "rejected": str(self.rejected.pk),
            "collection": self.document.collection.slug,
            "document": str(self.document.pk),
            "notice": str(self.notice.pk),
            "channel": self.channel,
            "delivery": str(self.delivery.pk),
            "rule": str(self.rule.pk),
            "calendar": "acme-office",
            "absence": str(self.absence.pk),
            "trigger": self.trigger,
            "alert": str(self.alert.pk),
            "dataset": self.dataset,
            "evaluation": self.evaluation,
            "answer": self.answer,
        }


NOBODYS = {
    "pipeline": "absent",
    "agent": "absent",
    "connection": "absent",
    "server": "absent",
    "secret": "absent",
    "member": "absent@example.com",
    "token": ABSENT,
    "budget": ABSENT,
    "run": ABSENT,
    "trial": ABSENT,
    "artifact": f"sha256:{'0' * 64}",
    "approval": ABSENT,
    "rejected": ABSENT,
    "collection": "absent",
    "document": ABSENT,
    "notice": ABSENT,
    "channel": "absent",
    "delivery": "999999999",
    "rule": ABSENT,
    "calendar": "absent",
    "absence": ABSENT,
    "trigger": "absent",
    "alert": ABSENT,
    "dataset": "absent",
    "evaluation": ABSENT,
    "answer": ABSENT,
}


@dataclass(frozen=True)
class World:
    """`team` and what `acme` has; `olga` started and edited everything there, so that bob may answer."""

    team: Team
    olga: User
    victor: User
    here: Things

    def person(self, name: str) -> User:
        own = {"olga": self.olga, "victor": self.victor}
        return own.get(name) or getattr(self.team, name)


def a_world() -> World:
    team = a_team()
    olga = a_member(team.workspace, "olga", Role.COMPOSER, Role.MANAGER, Role.ADMIN)
    victor = a_member(team.workspace, "victor", Role.VIEWER)
    return World(team, olga, victor, one_of_everything(team.workspace, olga, team.dana))


def one_of_everything(workspace: Workspace, owner: User, reader: User | None = None) -> Things:
    """Return the things of a workspace that are its owner's, and a notice that is the reader's."""
    actor = Actor(owner, workspace, frozenset({Role.COMPOSER, Role.MANAGER, Role.ADMIN}))
    pipeline = a_published_pipeline(actor, "acme-brief")
    publish.publish(actor, pipeline, "again")
    spare = agents.create(actor, "acme-spare", AgentFields("demo/echo"))
    connections.create(actor, ConnectionFields("acme-local", base_url="http://127.0.0.1:9/v1", prices=PRICES))
    connections.create(actor, ConnectionFields("acme-files", "mcp", "http://127.0.0.1:9/mcp"))
    secrets.put(workspace, "acme-key", "correct horse battery staple")
    token = tokens.keep(tokens.new(), owner, workspace, list(Scope), name="ours")
    budget = budgets.put(actor, BudgetFields("day", "50.00"))
    BudgetCounter.objects.create(budget=budget, period_start=period_start(budget), spent_micros=1)
    run = start_run(actor, pipeline, Order({"topic": "tides"}))
    _rows_of(run)
    approval = an_approval(run)
    channels.create(actor, ChannelFields("acme-ops", "webhook", "acme-key", "http://127.0.0.1:9/hook"))
    return Things(
        pipeline=pipeline,
        agent="acme-spare",
        connection="acme-local",
        secret="acme-key",
        member=owner.email,
        token=token,
        budget=budget,
        run=run,
        trial=agent_tests.start(actor, spare.agent, spare, "Say something."),
        artifact=_a_large_value(run).hash,
        approval=approval,
        rejected=_a_rejection(run, owner),
        document=collections.add(actor, collections.create(actor, "acme-handbook"), "acme-leave.md", "Thirty days."),
        notice=_a_notice_of(approval, reader or owner),
        channel="acme-ops",
        delivery=_a_delivery(workspace, reader or owner),
        rule=_a_rule(actor),
        absence=_an_absence(actor),
        trigger=_a_trigger(actor),
        alert=alerts.put(actor, AlertFields("acme-spend", "threshold", "spend", "20")),
        dataset="acme-cases",
        evaluation=_an_evaluation(actor, pipeline),
        answer=_an_answer(actor, pipeline),
    )


def _a_rejection(run: Run, by: User) -> Approval:
    asked = an_approval(run)
    rejected = {"state": Approval.State.REJECTED, "decided_at": timezone.now()}
    Approval.objects.filter(pk=asked.pk).update(**rejected)
    DecisionRecord.objects.create(approval=asked, by=by, decision="reject", reason="Too loud.")
    return asked


def _a_notice_of(approval: Approval, reader: User) -> Notice:
    return Notice.objects.create(
        workspace=approval.workspace,
        user=reader,
        kind=Kind.ASKED,
        subject="A question waits for you",
        data={"said": "Send it?", "place": f"/approvals/{approval.pk}/"},
        approval=approval,
        key=f"sample:{approval.pk}",
    )


def _a_delivery(workspace: Workspace, reader: User) -> Delivery:
    """Return an email that was given up, under a number that no page shows by chance."""
    told = Notice.objects.create(
        workspace=workspace,
        user=reader,
        kind=Kind.BUDGET,
        subject="A budget is running out",
        data={},
        key=f"given-up:{workspace.slug}",
    )
    gone = {"state": Delivery.State.DEAD, "attempts": 8, "error": "Nobody answers.", "ended_at": timezone.now()}
    return Delivery.objects.create(pk=10**15 + Delivery.objects.count(), workspace=workspace, notice=told, **gone)


def _a_rule(actor: Actor) -> Rule:
    """Return a rule about no tool there is, so that it asks nothing of the questions here."""
    rules.put_calendar(actor, CalendarFields("acme-office", "Europe/Berlin", {"mon": [["09:00", "17:00"]]}))
    level = LevelFields(("manager",), within="PT4H")
    return rules.put(actor, RuleFields("Acme large sums", (level,), tool="acme.pay"))


def _a_trigger(actor: Actor) -> str:
    """Return the name of a webhook that nobody has called yet."""
    fields = TriggerFields("acme-orders", "webhook", "acme-brief", input={"topic": "${event.title}"}, secret="acme-key")
    return definitions.create(actor, fields).slug


def _an_absence(actor: Actor) -> Absence:
    """Return an absence that has not begun."""
    delegate = a_member(actor.workspace, f"standin-{actor.workspace.slug}", Role.REVIEWER)
    begin = timezone.now() + timedelta(days=30)
    return absences.add(actor, AbsenceFields(begin, begin + timedelta(days=7), delegate.email))


def _an_evaluation(actor: Actor, pipeline: Pipeline) -> str:
    """Return an evaluation of one case, whose run nobody has started yet."""
    datasets.create(actor, "acme-cases", cases.read([{"name": "tides", "inputs": {"topic": "tides"}, "asserts": SOON}]))
    return str(evaluations.start(actor, evaluations.Order(pipeline.slug, "acme-cases", repeats=1)).pk)


def _an_answer(actor: Actor, pipeline: Pipeline) -> str:
    """Return a run that has succeeded."""
    run = start_run(actor, pipeline, Order({"topic": "moons"}))
    Run.objects.filter(pk=run.pk).update(state="succeeded", output="Moons.", finished_at=timezone.now())
    ratings.rate(actor, run.pk, Opinion(score=0.5))
    return str(run.pk)


def _a_large_value(run: Run) -> Artifact:
    value = {"text": f"a long report of {run.workspace.slug}"}
    return Artifact.objects.create(run=run, hash=digest(value), size=len(canonical_json(value)), value=value)


def _rows_of(run: Run) -> None:
    """Give the run one row of each kind that a worker writes."""
    now = timezone.now()
    Step.objects.create(run=run, path="write", node="write", kind="agent", state="running", started_at=now)
    Event.objects.create(run=run, seq=2, type="run_started", at=now)
    Run.objects.filter(pk=run.pk).update(seq=2)
    Span.objects.create(
        workspace=run.workspace,
        pipeline=run.pipeline,
        run=run,
        span_id="00f067aa0ba902b7",
        name="chat demo/writer",
        kind="client",
        path="write",
        agent="writer",
        node="write",
        start=now - timedelta(seconds=1),
        end=now,
        model="demo/writer",
        input_tokens=1,
        output_tokens=2,
        cost_micros=400,
    )
    SentEvent.objects.create(
        workspace=run.workspace, key="sent:1", topic="orders/17", payload={"paid": True}, by="olga@example.com", at=now
    )
    LedgerEntry.objects.create(
        run=run, kind="settled", path="write@1", call="write@1/1", model="demo/writer", amount_micros=400, at=now
    )


def a_document_of(things: Things) -> dict[str, Any]:
    return dict(things.pipeline.draft.document)
