"""How pipelines, versions, agents, connections and budgets are read and written in JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.utils import timezone
from ninja import Schema
from pydantic import Field

from accounts.schemas import Body
from pipelines import budgets, splits
from pipelines.bundles import Imported
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.graph.problems import Problem
from pipelines.graph.tools import ToolSpec
from pipelines.library import circuits
from pipelines.models import AgentVersion, Budget, BudgetChange, Circuit, Connection, Draft, Pipeline, PipelineVersion

Item = TypeVar("Item")


class Page(Schema, Generic[Item]):
    items: list[Item]
    next: str | None


class PipelineOut(Schema):
    slug: str
    url: str
    name: str
    description: str
    version: int | None = Field(description="the published version")
    split: list[dict[str, Any]] = Field(description="the arms {arm, version, percent} that share new runs")
    hash: str | None
    created_by: str | None
    created_at: datetime
    archived_at: datetime | None


class SharingBody(Body):
    see: list[str] = []
    run: list[str] = []
    edit: list[str] = []


class ProblemOut(Schema):
    code: str
    severity: str
    where: str
    node: str | None
    message: str


class DraftOut(Schema):
    document: Any
    revision: int
    problems: list[ProblemOut]


class VersionOut(Schema):
    version: int
    hash: str
    note: str
    published_by: str | None
    created_at: datetime


class VersionDetail(VersionOut):
    document: Any
    lock: Any = Field(description="every agent, tool and model price it names, by exact version")


class ImportOut(Schema):
    pipeline: PipelineOut
    made: list[str] = Field(description="pipelines by slug and agents by slug@number")
    reused: list[str] = Field(description="what said the same already")
    missing_secrets: list[str] = Field(description="names that agents are granted and the workspace does not have")
    problems: list[ProblemOut]


class AgentFieldsIn(Body):
    model: str
    role: str = ""
    goal: str = ""
    instructions: str = ""
    tools: list[str] = Field(default_factory=list, max_length=50)
    output_schema: dict[str, Any] | None = None
    max_output: int = 4096
    temperature: float | None = None
    max_cost_usd: str | None = None
    fallback: list[str] = Field(default_factory=list, max_length=10)
    secrets: list[str] = Field(default_factory=list, max_length=20, description="names it may put into headers")
    egress: list[str] = Field(
        default_factory=list, max_length=50, description="hosts it may reach; none: any public one"
    )


class AgentOut(Schema):
    slug: str
    name: str
    version: int
    model: str
    role: str
    goal: str
    instructions: str
    tools: list[str]
    output_schema: Any
    max_output: int
    temperature: float | None
    max_cost_usd: str | None
    fallback: list[str]
    secrets: list[str]
    egress: list[str]
    created_at: datetime


class PriceIn(Body):
    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None = Field(None, description="of what a provider read from its cache")
    context_window: int | None = Field(None, description="tokens it reads and writes in one call")


class ConnectionIn(Body):
    name: str
    kind: str = "openai"
    base_url: str = ""
    secret: str | None = Field("", description="name of a secret, never its value")
    secret_header: str = Field("", description="the header an MCP server wants it in; else Authorization: Bearer")
    prices: dict[str, PriceIn] = Field(default_factory=dict)
    trusted_address: bool | None = Field(None, description="may lead to a private address")
    max_concurrent: int | None = None
    rpm: int | None = None
    tpm: int | None = None


class CircuitOut(Schema):
    state: str = Field(description="open, or half_open from the moment when one call may try")
    opened_at: datetime
    retry_at: datetime = Field(description="when the next call tries whether it is back")


class AgentCircuitOut(CircuitOut):
    agent: str = Field(description="slug@number")
    model: str = Field(description="the model with which it fails; with another it may go on")


class ConnectionOut(Schema):
    name: str
    kind: str
    base_url: str
    secret: str
    secret_header: str
    prices: dict[str, dict[str, str | int]]
    trusted_address: bool
    max_concurrent: int | None
    rpm: int | None
    tpm: int | None
    circuit: dict[str, CircuitOut] = Field(description="by model: those that fail and are left alone for a while")
    agent_circuits: list[AgentCircuitOut] = Field(
        description="agents whose attempts with one of its models fail, and that are left alone with it for a while"
    )


class BudgetIn(Body):
    scope: str = Field(description="workspace, pipeline or tag")
    pipeline: str | None = None
    tag: str | None = Field(None, description="one of the runs' tags; a run is held to the budgets of all it has")
    period: str
    max_cost_usd: str
    hard: bool = True
    alert_at: list[float] = Field(default=[0.5, 0.8, 1.0], max_length=10)
    on_exceed: str = Field("stop", description="stop, ask_human or cheaper_model")
    reason: str = Field(
        "", max_length=budgets.LONGEST_REASON, description="needed to raise a cap, or to make a hard one soft"
    )


class ToolOut(Schema):
    id: str
    title: str
    description: str
    effect: str
    delivery: str
    safe_methods: list[str]
    key_argument: str | None
    args_schema: Any
    result_schema: Any
    connection: str | None = Field(description="the MCP connection that leads to it; null for a built-in tool")


class BudgetOut(Schema):
    id: str
    scope: str
    pipeline: str | None
    tag: str | None
    period: str
    max_cost_usd: str
    hard: bool
    on_exceed: str
    alert_at: list[float]


class BudgetChangeOut(Schema):
    scope: str = Field(description='as people call it: "tag research/month"')
    act: str = Field(description="set, raised, lowered, changed, allowed (for one period) or removed")
    was_usd: str | None
    cap_usd: str | None
    reason: str
    by: str | None
    at: datetime


def pipeline(row: Pipeline) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "url": f"{settings.BASE_URL}/pipelines/{row.slug}/",
        "name": row.name,
        "description": row.description,
        "version": row.published.number if row.published else None,
        "split": [arm.as_json() for arm in splits.arms_of(row)],
        "hash": row.published.hash if row.published else None,
        "created_by": row.created_by.email if row.created_by else None,
        "created_at": row.created_at,
        "archived_at": row.archived_at,
    }


def imported(found: Imported, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "pipeline": pipeline(found.pipeline),
        "made": found.made,
        "reused": found.reused,
        "missing_secrets": found.missing,
        "problems": [problem.as_json() for problem in problems],
    }


def draft(row: Draft, problems: list[Problem]) -> dict[str, Any]:
    return {
        "document": row.document,
        "revision": row.revision,
        "problems": [problem.as_json() for problem in problems],
    }


def version(row: PipelineVersion) -> dict[str, Any]:
    return {
        "version": row.number,
        "hash": row.hash,
        "note": row.note,
        "published_by": row.published_by.email if row.published_by else None,
        "created_at": row.created_at,
    }


def version_detail(row: PipelineVersion, lock: Json) -> dict[str, Any]:
    return {**version(row), "document": row.document, "lock": lock}


def agent(row: AgentVersion) -> dict[str, Any]:
    return {
        "slug": row.agent.slug,
        "name": row.agent.name,
        "version": row.number,
        "model": row.model,
        "role": row.role,
        "goal": row.goal,
        "instructions": row.instructions,
        "tools": row.tools,
        "output_schema": row.output_schema,
        "max_output": row.max_output,
        "temperature": row.temperature,
        "max_cost_usd": dollars(row.max_cost_micros),
        "fallback": row.fallback,
        "secrets": row.secrets,
        "egress": row.egress,
        "created_at": row.created_at,
    }


def connection(row: Connection, open_circuits: Sequence[Circuit] | None = None) -> dict[str, Any]:
    """Return a connection; `open_circuits` are its workspace's where the caller has read them for many connections."""
    names = tuple(name for name in ConnectionOut.model_fields if name not in ("circuit", "agent_circuits"))
    found = circuits.opened(row.workspace_id) if open_circuits is None else open_circuits
    prefix = f"{row.name}/"
    mine = {one.subject.removeprefix(prefix): _circuit(one) for one in found if one.subject.startswith(prefix)}
    agents = [(circuits.agent_and_model(one.subject), one) for one in found]
    theirs = [
        {"agent": about[0], "model": about[1].removeprefix(prefix), **_circuit(one)}
        for about, one in agents
        if about and about[1].startswith(prefix)
    ]
    return {**{name: getattr(row, name) for name in names}, "circuit": mine, "agent_circuits": theirs}


def _circuit(row: Circuit) -> dict[str, Any]:
    state = "half_open" if row.retry_at and row.retry_at <= timezone.now() else "open"
    return {"state": state, "opened_at": row.opened_at, "retry_at": row.retry_at}


def tool(spec: ToolSpec) -> dict[str, Any]:
    return {**spec.as_json(), "connection": spec.connection}


def budget(row: Budget) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "scope": "pipeline" if row.pipeline else "workspace" if row.tag is None else "tag",
        "pipeline": row.pipeline.slug if row.pipeline else None,
        "tag": row.tag,
        "period": row.period,
        "max_cost_usd": dollars(row.max_cost_micros),
        "hard": row.hard,
        "on_exceed": row.on_exceed,
        "alert_at": row.alert_at,
    }


def budget_change(row: BudgetChange) -> dict[str, Any]:
    """Return the shape of a row of `budgets.history`."""
    return {
        "scope": row.scope,
        "act": row.act,
        "was_usd": dollars(row.was_micros),
        "cap_usd": dollars(row.cap_micros),
        "reason": row.why,  # type: ignore[attr-defined]  # annotated by the history
        "by": row.by.email if row.by else None,
        "at": row.at,
    }
