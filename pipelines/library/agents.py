"""Agents of a workspace: each saved change is a new version that never changes again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import re2
from django.db import IntegrityError, transaction

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from accounts.models import Workspace
from pipelines.graph import schemas
from pipelines.graph.freeze import is_pipeline
from pipelines.graph.hosts import is_host
from pipelines.graph.lock import AgentSpec
from pipelines.graph.model import Json
from pipelines.graph.money import dollars, micros
from pipelines.library import mcp
from pipelines.library.models import DEMO_PRICES, is_simulated
from pipelines.library.tools import TOOLS
from pipelines.models import Agent, AgentVersion

_SLUG = re2.compile(r"^[a-z][a-z0-9_-]{0,62}$")
_MODEL = re2.compile(r"^[a-z][a-z0-9-]{0,62}/[^\s/][^\s]{0,126}$")
_PIPELINE = re2.compile(r"^pipeline:[a-z][a-z0-9_-]{0,62}(@[1-9][0-9]{0,8})?$")
_SECRET = re2.compile(r"^[a-z0-9][a-z0-9_-]{0,62}$")
_MAX_TEXT = 100_000
_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class AgentFields:
    """What an agent says. `max_output` counts tokens; `fallback` lists models to try in this order.

    `secrets` are names it may put into headers of http.request; `egress` the hosts it may reach, or any public one.
    """

    model: str
    role: str = ""
    goal: str = ""
    instructions: str = ""
    tools: tuple[str, ...] = ()
    output_schema: Json = None
    max_output: int = 4096
    temperature: float | None = None
    max_cost_usd: str | None = None
    fallback: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "AgentFields":
        fields = dict(data)
        for name in ("tools", "fallback", "secrets", "egress"):
            fields[name] = tuple(fields.get(name) or ())
        return cls(**fields)


def create(actor: Actor, slug: str, fields: AgentFields, name: str = "") -> AgentVersion:
    """Return version 1 of a new agent; Conflict `slug_taken`, Invalid naming the field, Forbidden."""
    require(actor, Capability.EDIT)
    if not _SLUG.match(slug):
        raise Invalid(
            f"{slug!r} cannot name an agent. Use a lower-case letter, then letters, digits, - and _.", where="/slug"
        )
    columns = _checked(fields, actor.workspace)
    try:
        with transaction.atomic():
            agent = Agent.objects.create(
                workspace=actor.workspace, slug=slug, name=name or slug.replace("-", " ").replace("_", " ").capitalize()
            )
            return _add_version(actor, agent, 1, columns)
    except IntegrityError:
        raise Conflict(
            f"There is already an agent named {slug!r}. Save a new version of it, or choose another name.",
            code="slug_taken",
            where="/slug",
        ) from None


@transaction.atomic
def new_version(actor: Actor, agent: Agent, fields: AgentFields) -> AgentVersion:
    """Return the agent's next version; Invalid naming the field that cannot be, Forbidden. Locks the agent's row."""
    require(actor, Capability.EDIT)
    columns = _checked(fields, actor.workspace)
    Agent.objects.select_for_update().get(pk=agent.pk)
    newest = AgentVersion.objects.filter(agent=agent).order_by("-number").values_list("number", flat=True).first()
    return _add_version(actor, agent, (newest or 0) + 1, columns)


@transaction.atomic
def rename(actor: Actor, agent: Agent, name: str) -> None:
    """Call an agent otherwise; its slug, by which pipelines name it, stays. Invalid for no name or a long one."""
    require(actor, Capability.EDIT)
    if not 1 <= len(name) <= _MAX_NAME:
        raise Invalid(f"Give the agent a name of at most {_MAX_NAME} characters.", where="/name")
    if Agent.objects.filter(pk=agent.pk).exclude(name=name).update(name=name):
        audit.record(actor.workspace, actor.user, "agent.renamed", agent.slug, {"name": name})


def resolve(workspace: Workspace, ref: str) -> AgentSpec | None:
    """Return the agent version that `slug@number` names in this workspace, or None."""
    slug, _, number = ref.partition("@")
    if not number.isdecimal() or len(number) > 9:
        return None
    row = (
        AgentVersion.objects.select_related("agent")
        .filter(agent__workspace=workspace, agent__slug=slug, number=int(number))
        .first()
    )
    return spec(row) if row is not None else None


def spec(row: AgentVersion) -> AgentSpec:
    """Return a version as the engine reads it; `row.agent` must be loaded."""
    return AgentSpec(
        id=f"{row.agent.slug}@{row.number}",
        model=row.model,
        role=row.role,
        goal=row.goal,
        instructions=row.instructions,
        tools=tuple(row.tools),
        output_schema=row.output_schema,
        max_output=row.max_output,
        temperature=row.temperature,
        max_cost_micros=row.max_cost_micros,
        fallback=tuple(row.fallback),
        secrets=tuple(row.secrets),
        egress=tuple(row.egress),
    )


def fields_of(row: AgentVersion) -> AgentFields:
    """Return what a version says, to be saved again as it is or changed."""
    return AgentFields(
        model=row.model,
        role=row.role,
        goal=row.goal,
        instructions=row.instructions,
        tools=tuple(row.tools),
        output_schema=row.output_schema,
        max_output=row.max_output,
        temperature=row.temperature,
        max_cost_usd=dollars(row.max_cost_micros),
        fallback=tuple(row.fallback),
        secrets=tuple(row.secrets),
        egress=tuple(row.egress),
    )


def matching(agent: Agent, fields: AgentFields) -> AgentVersion | None:
    """Return the newest version that says exactly this, or None."""
    columns = _checked(fields, agent.workspace)
    for row in agent.versions.select_related("agent").order_by("-number"):
        if all(getattr(row, name) == value for name, value in columns.items()):
            return row
    return None


def _add_version(actor: Actor, agent: Agent, number: int, columns: Mapping[str, Json]) -> AgentVersion:
    row = AgentVersion.objects.create(agent=agent, number=number, created_by=actor.user, **columns)
    audit.record(actor.workspace, actor.user, "agent.versioned", f"{agent.slug}@{number}", {"model": row.model})
    return row


def _checked(fields: AgentFields, workspace: Workspace) -> dict[str, Json]:
    """Return the columns of a version; raise Invalid naming the field that cannot be."""
    for name in ("role", "goal", "instructions"):
        if len(getattr(fields, name)) > _MAX_TEXT:
            raise Invalid(f"{name} is longer than {_MAX_TEXT:,} characters. Shorten it.", where=f"/{name}")
    _check_model(fields.model, "/model")
    for index, model in enumerate(fields.fallback):
        _check_model(model, f"/fallback/{index}")
    _check_tools(fields.tools, workspace)
    _check_rights(fields)
    if not 1 <= fields.max_output <= 1_000_000:
        raise Invalid("max_output must be between 1 and 1,000,000 tokens.", where="/max_output")
    if fields.temperature is not None and not 0 <= fields.temperature <= 2:
        raise Invalid("temperature must be between 0 and 2.", where="/temperature")
    if fields.output_schema is not None and (refusal := schemas.check_schema(fields.output_schema)) is not None:
        raise Invalid(refusal.message, code=refusal.code, where=f"/output_schema{refusal.where}")
    return {
        "model": fields.model,
        "role": fields.role,
        "goal": fields.goal,
        "instructions": fields.instructions,
        "tools": list(dict.fromkeys(fields.tools)),
        "output_schema": fields.output_schema,
        "max_output": fields.max_output,
        "temperature": fields.temperature,
        "max_cost_micros": _cap(fields.max_cost_usd),
        "fallback": list(fields.fallback),
        "secrets": list(dict.fromkeys(fields.secrets)),
        "egress": list(dict.fromkeys(fields.egress)),
    }


def _check_tools(tools: tuple[str, ...], workspace: Workspace) -> None:
    """Refuse a tool that is not there. Whether a pipeline is published is asked where the agent is used."""
    own = {tool for tool in tools if not is_pipeline(tool)}
    known: Collection[str] = TOOLS if own <= TOOLS.keys() else {*TOOLS, *mcp.specs(workspace)}
    for index, tool in enumerate(tools):
        if is_pipeline(tool) and not _PIPELINE.match(tool):
            message = f"{tool[:128]!r} names no pipeline. Write pipeline:slug or pipeline:slug@version."
            raise Invalid(message, code="unknown_tool", where=f"/tools/{index}")
        if tool in own and tool not in known:
            raise Invalid(
                f"There is no tool {tool[:128]!r}. Choose from {', '.join(sorted(known)[:50])}.",
                code="unknown_tool",
                where=f"/tools/{index}",
            )


def _check_rights(fields: AgentFields) -> None:
    for index, name in enumerate(fields.secrets):
        if not _SECRET.match(name):
            raise Invalid(f"{name[:63]!r} cannot name a secret.", where=f"/secrets/{index}")
    for index, host in enumerate(fields.egress):
        if not is_host(host):
            message = f"{host[:253]!r} is no host. Write api.example.com, or *.example.com for all below it."
            raise Invalid(message, where=f"/egress/{index}")


def _check_model(ref: str, where: str) -> None:
    if len(ref) > 128 or not _MODEL.match(ref):
        raise Invalid(
            f"{ref!r} does not name a model. Write provider/model, such as demo/writer or openai/gpt-5-mini.",
            where=where,
        )
    if is_simulated(ref) and ref not in DEMO_PRICES:
        raise Invalid(f"There is no built-in model {ref!r}. Choose from {', '.join(DEMO_PRICES)}.", where=where)


def _cap(dollars: str | None) -> int | None:
    if dollars is None:
        return None
    try:
        amount = micros(dollars)
    except ValueError as error:
        raise Invalid(str(error), where="/max_cost_usd") from None
    if not 0 < amount < 2**63:
        raise Invalid('The cap must be more than $0, as text like "0.50"; null means no cap.', where="/max_cost_usd")
    return amount
