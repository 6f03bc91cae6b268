"""What the pages of agents show: the list, one agent with its form, versions and uses, and what saving does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.access import Actor, Capability, get, scoped
from accounts.errors import Conflict, Invalid
from accounts.models import Workspace
from pipelines import agent_diff, agent_form, agent_uses, schema_fields
from pipelines.agent_diff import Difference
from pipelines.agent_form import AgentForm, Posted
from pipelines.agent_uses import Use
from pipelines.graph.freeze import is_pipeline
from pipelines.graph.lock import PIPELINE_TOOL, Price
from pipelines.graph.tools import Effect, ToolSpec
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.library.library import PriceBook, tools_of
from pipelines.library.models import MCP, is_simulated
from pipelines.library.prices import price_among
from pipelines.models import Agent, AgentVersion, Connection, Pipeline

MOST_VERSIONS = 50
SHOWS = (("", "All"), ("unused", "Not used"), ("irreversible", "With actions that cannot be undone"))
_EFFECTS = {
    Effect.NONE: "only reads",
    Effect.REVERSIBLE: "can be undone",
    Effect.IRREVERSIBLE: "cannot be undone",
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model to choose; `price` is None where nobody knows it."""

    ref: str
    price: Price | None

    @property
    def is_simulated(self) -> bool:
        return is_simulated(self.ref)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool to choose, and in words what it does to the world."""

    id: str
    title: str
    words: str
    description: str = ""
    is_irreversible: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One agent of the list, in its newest version."""

    agent: Agent
    version: AgentVersion
    model: Model
    tools: Sequence[Tool]
    pipelines: int


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an agent: what it changed against the one before, and which pipelines use it."""

    version: AgentVersion
    summary: str
    published_in: Sequence[str] = ()
    drafted_in: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AgentPage:
    """`shown` is the version on the page, compared with `against`; `form` edits the newest and is None for readers."""

    agent: Agent
    newest: AgentVersion
    shown: AgentVersion
    versions: Sequence[Version]
    uses: Sequence[Use]
    tools: Sequence[Tool]
    may_edit: bool
    against: AgentVersion | None = None
    difference: Difference | None = None
    form: AgentForm | None = None
    choices: "Choices | None" = None

    @property
    def changed(self) -> str:
        """What the version on the page says otherwise than the other, by name; "" where both say the same."""
        return agent_diff.changed(agents.spec(self.against), agents.spec(self.shown)) if self.against else ""

    @property
    def answer(self) -> list[str]:
        """The fields of the answer, the required ones first and in their author's order."""
        return [row.name for row in schema_fields.shown(self.shown.output_schema).rows]

    @property
    def running(self) -> int:
        """How many pipelines run some version of it."""
        return sum(1 for use in self.uses if use.published)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a form offers: models with their prices, names of ways to further models, tools."""

    models: Sequence[Model]
    ways: Sequence[str]
    tools: Sequence[Tool] = field(default_factory=tuple)

    @property
    def acts(self) -> list[Tool]:
        return [tool for tool in self.tools if not is_pipeline(tool.id)]

    @property
    def pipelines(self) -> list[Tool]:
        return [tool for tool in self.tools if is_pipeline(tool.id)]

    def offers(self, ref: str) -> bool:
        return any(model.ref == ref for model in self.models)


def lines(actor: Actor, find: str = "", show: str = "") -> list[Line]:
    """Return the workspace's agents by name, those that fit what is looked for. Five queries."""
    workspace = actor.workspace
    rows = AgentVersion.objects.select_related("agent").order_by("agent_id", "-number").distinct("agent_id")
    newest = list(scoped(rows, actor, through="agent__workspace"))
    connections, tools = _connections(workspace), _tools(actor, newest)
    used = agent_uses.uses_by_agent(actor) if newest else {}
    found = [_line(row, connections, tools, len(used.get(row.agent.slug, ()))) for row in newest]
    kept = [line for line in found if _fits(line, find.casefold().strip(), show)]
    return sorted(kept, key=lambda line: (line.agent.name.casefold(), line.agent.slug))


def page(
    actor: Actor, slug: str, number: int | None = None, against: int | None = None, form: AgentForm | None = None
) -> AgentPage:
    """Return one agent in its newest version with the form that edits it, or as version `number` said it.

    `against` names the version to compare with, else the one before. NotFound where one is not there.
    """
    agent, newest = newest_of(actor, slug)
    versions = _versions(agent)
    shown = newest if number is None else get(versions, actor, through="agent__workspace", number=number)
    listed = list(versions.select_related("created_by")[: MOST_VERSIONS + 1])
    before = versions.filter(number__lt=shown.number).first() if against is None else None
    other = get(versions, actor, through="agent__workspace", number=against) if against is not None else before
    uses = agent_uses.uses_of(actor, agent, newest.number)
    choices = _choices(actor, newest)
    may_edit = actor.can(Capability.EDIT)
    is_editing = may_edit and number is None
    return AgentPage(
        agent=agent,
        newest=newest,
        shown=shown,
        versions=_marked(listed, uses),
        uses=uses,
        tools=_tools_of_version(choices.tools, shown),
        may_edit=may_edit,
        against=other,
        difference=agent_diff.difference(agents.spec(other), agents.spec(shown)) if other is not None else None,
        form=_placed(form or agent_form.of(newest), choices) if is_editing else None,
        choices=choices if is_editing else None,
    )


def new_form(actor: Actor, form: AgentForm | None = None) -> tuple[AgentForm, Choices]:
    """Return the form of an agent that is not there yet, and what it offers."""
    choices = _choices(actor, None)
    return _placed(form or AgentForm(), choices), choices


def newest_of(actor: Actor, slug: str) -> tuple[Agent, AgentVersion]:
    """Return an agent of the workspace and its newest version; NotFound for others."""
    agent = get(Agent.objects.select_related("workspace"), actor, slug=slug)
    return agent, _versions(agent)[0]


def create(actor: Actor, posted: Posted) -> tuple[AgentVersion | None, AgentForm]:
    """Make an agent of a posted form; without a version the form says what is wrong. Forbidden."""
    fields, form = agent_form.read(agent_form.typed(posted))
    if fields is None:
        return None, form
    slug = form.slug or slug_of(form.name)
    try:
        return agents.create(actor, slug, fields, form.name), form
    except (Invalid, Conflict) as refused:
        return None, form.refused(refused)


def save(actor: Actor, slug: str, posted: Posted) -> tuple[AgentVersion | None, AgentForm]:
    """Save a posted form as the agent's next version; nothing new is saved where nothing changed.

    Without a version the form says what is wrong, also that somebody saved another version meanwhile. Forbidden.
    """
    agent, newest = newest_of(actor, slug)
    fields, form = agent_form.read(agent_form.typed(posted))
    if fields is None:
        return None, form
    if form.based_on != str(newest.number):
        said = f"Somebody saved v{newest.number} while you wrote. Compare it under Versions. "
        said += f"Saving again makes yours v{newest.number + 1}, without what v{newest.number} changed."
        errors = {"form": said}
        return None, replace(form, based_on=str(newest.number), errors=errors)
    kept = [tool for tool in newest.tools if tool in fields.tools]
    fields = replace(fields, tools=(*kept, *(tool for tool in fields.tools if tool not in kept)))
    try:
        with transaction.atomic():
            agents.rename(actor, agent, form.name)
            return _saved(actor, agent, newest, fields), form
    except (Invalid, Conflict) as refused:
        return None, form.refused(refused)


def slug_of(name: str) -> str:
    """Return a name as pipelines may write it: "Reply writer" as reply-writer."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower())
    return "-".join(part for part in kept.split("-") if part).lstrip("0123456789-")[:63].rstrip("-")


def _saved(actor: Actor, agent: Agent, newest: AgentVersion, fields: AgentFields) -> AgentVersion:
    same = agents.matching(agent, fields)
    return newest if same is not None and same.pk == newest.pk else agents.new_version(actor, agent, fields)


def _versions(agent: Agent) -> "QuerySet[AgentVersion]":
    return AgentVersion.objects.filter(agent=agent).select_related("agent__workspace").order_by("-number")


def _connections(workspace: Workspace) -> dict[str, Connection]:
    return {row.name: row for row in Connection.objects.filter(workspace=workspace)}


def _line(row: AgentVersion, connections: Mapping[str, Connection], tools: Sequence[Tool], pipelines: int) -> Line:
    model = Model(row.model, price_among(connections, row.model))
    return Line(row.agent, row, model, _tools_of_version(tools, row), pipelines)


def _fits(line: Line, find: str, show: str) -> bool:
    said = f"{line.agent.name} {line.agent.slug} {line.version.goal} {line.version.role} {line.model.ref}".casefold()
    shown = {
        "unused": not line.pipelines,
        "irreversible": any(tool.is_irreversible for tool in line.tools),
    }.get(show, True)
    return shown and find in said


def models(actor: Actor) -> list[Model]:
    """Return the models that a step or an agent may use by name, with their prices. Two queries."""
    return _models(actor, _connections(actor.workspace))


def _models(actor: Actor, connections: Mapping[str, Connection], own: Sequence[str] = ()) -> list[Model]:
    used = scoped(AgentVersion, actor, through="agent__workspace").order_by("model").distinct("model")
    refs = dict.fromkeys([*PriceBook(connections), *used.values_list("model", flat=True), *own])
    return [Model(ref, price_among(connections, ref)) for ref in refs]


def _choices(actor: Actor, version: AgentVersion | None) -> Choices:
    connections = _connections(actor.workspace)
    own = (version.model, *version.fallback) if version else ()
    ways = [name for name, row in connections.items() if row.kind != MCP]
    ways += [name for name, (key, _) in settings.PROVIDER_ENV.items() if key and name not in ways]
    return Choices(_models(actor, connections, own), sorted(ways), _tools(actor, [version] if version else []))


def _placed(form: AgentForm, choices: Choices) -> AgentForm:
    """Return the form with a model that is not among those offered as one written by hand."""
    if form.model == agent_form.OTHER or choices.offers(form.model):
        return form
    return replace(form, model=agent_form.OTHER, other_model=form.model)


def _tools(actor: Actor, versions: Iterable[AgentVersion]) -> list[Tool]:
    """Return the newest version of every tool, the pipelines that can be started, and whatever these versions have."""
    specs = tools_of(actor.workspace)
    chosen = {tool for version in versions for tool in version.tools}
    newest: dict[str, ToolSpec] = {}
    for spec in specs.values():
        name, number = spec.id.partition("@")[::2]
        if name not in newest or int(number) > int(newest[name].id.partition("@")[2]):
            newest[name] = spec
    offered = {spec.id: _tool(spec) for spec in newest.values()}
    offered |= {tool: _tool(specs[tool]) for tool in sorted(chosen & specs.keys())}
    rows = scoped(Pipeline, actor).filter(archived_at=None, published__isnull=False).order_by("name")
    offered |= {f"{PIPELINE_TOOL}{row.slug}": _pipeline(f"{PIPELINE_TOOL}{row.slug}", row.name) for row in rows}
    for tool in sorted(chosen - offered.keys()):
        known = _pipeline(tool, tool.removeprefix(PIPELINE_TOOL))
        offered[tool] = known if is_pipeline(tool) else Tool(tool, tool, "is no longer there")
    return list(offered.values())


def _tool(spec: ToolSpec) -> Tool:
    words = _EFFECTS[spec.effect]
    if spec.safe_methods:
        words = f"{' and '.join(spec.safe_methods)} only read; all else {words}"
    return Tool(spec.id, spec.title, words, spec.description, spec.effect is Effect.IRREVERSIBLE)


def _pipeline(tool: str, name: str) -> Tool:
    return Tool(tool, name, "a run of its own, with its own approvals")


def _tools_of_version(tools: Sequence[Tool], version: AgentVersion) -> list[Tool]:
    known = {tool.id: tool for tool in tools}
    return [known.get(tool) or Tool(tool, tool, "is no longer there") for tool in version.tools]


def _marked(listed: Sequence[AgentVersion], uses: Sequence[Use]) -> list[Version]:
    found = []
    for row, older in zip(listed, [*listed[1:], None], strict=True):
        summary = agent_diff.changed(agents.spec(older), agents.spec(row)) if older else ""
        published = [use.pipeline.name for use in uses if row.number in use.published]
        drafted = [use.pipeline.name for use in uses if row.number in use.drafted]
        found.append(Version(row, summary, published, drafted))
    return found[:MOST_VERSIONS]
