"""Two workspaces with one of everything the API and the pages show, and who may do what by which role."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import secrets, tokens
from accounts.access import Actor
from accounts.models import ApiToken, User, Workspace
from accounts.roles import Role, Scope
from approvals.models import Approval
from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.library import agents, connections
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.models import Budget, Pipeline
from runs.models import Event, LedgerEntry, Run, SentEvent, Span, Step
from runs.services import Order, start_run
from tests.approvals.builders import an_approval
from tests.people import Team, a_member, a_team
from tests.pipelines.builders import a_published_pipeline

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
    approval: Approval

    def ids(self) -> dict[str, str]:
        return {
            "pipeline": self.pipeline.slug,
            "agent": self.agent,
            "connection": self.connection,
            "secret": self.secret,
            "member": self.member,
            "token": str(self.token.pk),
            "budget": str(self.budget.pk),
            "run": str(self.run.pk),
            "approval": str(self.approval.pk),
        }


NOBODYS = {
    "pipeline": "absent",
    "agent": "absent",
    "connection": "absent",
    "secret": "absent",
    "member": "absent@example.com",
    "token": ABSENT,
    "budget": "999999999",
    "run": ABSENT,
    "approval": ABSENT,
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
    return World(team, olga, victor, one_of_everything(team.workspace, olga))


def one_of_everything(workspace: Workspace, owner: User) -> Things:
    actor = Actor(owner, workspace, frozenset({Role.COMPOSER, Role.MANAGER, Role.ADMIN}))
    pipeline = a_published_pipeline(actor, "acme-brief")
    agents.create(actor, "acme-spare", AgentFields("demo/echo"))
    connections.create(actor, ConnectionFields("acme-local", base_url="http://127.0.0.1:9/v1", prices=PRICES))
    connections.create(actor, ConnectionFields("acme-files", "mcp", "http://127.0.0.1:9/mcp"))
    secrets.put(workspace, "acme-key", "correct horse battery staple")
    token = tokens.keep(tokens.new(), owner, workspace, list(Scope), name="ours")
    budget = budgets.put(actor, BudgetFields("day", "50.00"))
    run = start_run(actor, pipeline, Order({"topic": "tides"}))
    _rows_of(run)
    return Things(
        pipeline=pipeline,
        agent="acme-spare",
        connection="acme-local",
        secret="acme-key",
        member=owner.email,
        token=token,
        budget=budget,
        run=run,
        approval=an_approval(run),
    )


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
