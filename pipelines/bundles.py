"""Pipelines out of a workspace and into another, with the agents and pipelines that they name.

What comes in makes drafts and agent versions, runs nothing and carries no secret, only names of secrets. What is there
already and says the same is used; nothing that is there is changed. An agent whose slug is known becomes its next
version. Whatever names each other in a circle comes in anew, each under a free name by which the others name it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from uuid import UUID

from django.db import transaction

from accounts import scanner
from accounts.access import Actor, Capability, require, scoped
from accounts.errors import Invalid, Refused
from accounts.models import Secret, Workspace
from pipelines import creation, drafts
from pipelines.graph import bundle, hygiene, parse
from pipelines.graph.bundle import Bundle, BundledAgent, BundledPipeline
from pipelines.graph.freeze import content_hash, is_pipeline, pipelines_among
from pipelines.graph.lock import PIPELINE_TOOL, resolve
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal
from pipelines.library import agents
from pipelines.models import Agent, AgentVersion, Pipeline, PipelineVersion

IMPORT = "The import"
_LOOKED_AT = 50
"""Pipelines of a workspace whose names begin alike, and versions of each, among which what is there is looked for."""


@dataclass(slots=True)
class Imported:
    """What an import came to. `made` and `reused` name pipelines by slug and agents by slug@number; `missing` are
    secrets that agents are granted and the workspace does not have."""

    pipeline: Pipeline
    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


# -- out --------------------------------------------------------------------------------------------------------------


def exported(pipeline: Pipeline, document: Json, hidden: Collection[str] = ()) -> Json:
    """Return a bundle of a document of this pipeline, with all that it names and that the workspace has.

    Of the `hidden` pipelines, by their slugs, it carries no more than the name.
    """
    gathering = _Gathering(pipeline.workspace, hidden)
    root = gathering.pipeline(document)
    return Bundle(root, gathering.pipelines, gathering.agents).as_json()


class _Gathering:
    """Follows references from a document, each agent and pipeline once."""

    def __init__(self, workspace: Workspace, hidden: Collection[str]) -> None:
        self.pipelines: dict[str, BundledPipeline] = {}
        self.agents: dict[str, BundledAgent] = {}
        self._workspace = workspace
        self._hidden = hidden

    def pipeline(self, document: Json) -> str:
        name = content_hash(document)
        if name in self.pipelines:
            return name
        # Before what it names, which may name it in turn.
        found = self.pipelines[name] = BundledPipeline(document, {}, {})
        named: dict[str, dict[str, str]] = {"agent": {}, "pipeline": {}}
        for one in bundle.references(parse.parse(document)):
            target = self._agent(one.text) if one.kind == "agent" else self._child(one.text)
            if target:
                named[one.kind][one.text] = target
        self.pipelines[name] = BundledPipeline(found.document, named["agent"], named["pipeline"])
        return name

    def _child(self, reference: str) -> str | None:
        slug = reference.partition("@")[0]
        if slug in self._hidden:
            return None
        rows = PipelineVersion.objects.filter(
            pipeline__workspace=self._workspace, pipeline__slug=slug, number__isnull=False
        )
        known = {f"{slug}@{number}": number for number in rows.values_list("number", flat=True)}
        exact = resolve(reference, known)
        return self.pipeline(rows.get(number=known[exact]).document) if exact else None

    def _agent(self, reference: str) -> str | None:
        slug = reference.partition("@")[0]
        rows = AgentVersion.objects.filter(agent__workspace=self._workspace, agent__slug=slug).select_related("agent")
        known = {f"{slug}@{number}": number for number in rows.values_list("number", flat=True)}
        exact = resolve(reference, known)
        if exact is None:
            return None
        row = rows.get(number=known[exact])
        fields = _as_json(agents.fields_of(row))
        bare = BundledAgent(slug, row.agent.name, fields, {})
        if bare.hash not in self.agents:
            self.agents[bare.hash] = bare  # before its pipelines, which may name it in turn
            children = {child: target for child in pipelines_among(row.tools) if (target := self._child(child))}
            self.agents[bare.hash] = BundledAgent(slug, row.agent.name, fields, children)
        return bare.hash


def _as_json(fields: agents.AgentFields) -> dict[str, Json]:
    """Return what an agent says, without what it leaves open."""
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(fields).items()}
    return {name: value for name, value in found.items() if value not in (None, "", [])}


# -- in ---------------------------------------------------------------------------------------------------------------


def imported(actor: Actor, text: str | bytes, form: str) -> Imported:
    """Return the draft that a JSON text made: of a bundle with all it carries, of a document alone under its own id.

    The same form makes it once. Raises Invalid (or TooLarge) with code and JSON path of what is wrong, Conflict
    `slug_taken` for a document whose id is taken, Forbidden; as `scanner.check`.
    """
    require(actor, Capability.EDIT)
    data = loaded(text)
    scanner.check(actor, IMPORT, text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    scanner.check_json(actor, IMPORT, data)
    return _taken_in(actor, data, form)


def taken_in(actor: Actor, data: Json, form: str) -> Imported:
    """As `imported`, of JSON that was read already."""
    require(actor, Capability.EDIT)
    scanner.check_json(actor, IMPORT, data)
    return _taken_in(actor, data, form)


def _taken_in(actor: Actor, data: Json, form: str) -> Imported:
    if not bundle.is_bundle(data):
        made = creation.once(actor, form, lambda: data)
        return Imported(made, made=[made.slug])
    try:
        found = bundle.parse_bundle(data)
    except Refusal as refusal:
        raise _refused(refusal) from None
    return _taken_apart(actor, found, creation.id_of(actor, form))


def loaded(text: str | bytes) -> Json:
    """Return the JSON of a text of at most 5 MB; raise Invalid or TooLarge."""
    try:
        return hygiene.load(text, hygiene.MAX_IMPORT_BYTES)
    except Refusal as refusal:
        raise _refused(refusal) from None


def _refused(refusal: Refusal) -> Refused:
    kind = drafts.TooLarge if refusal.code == drafts.TooLarge.code else Invalid
    return kind(refusal.message, code=refusal.code, where=refusal.where)


def _taken_apart(actor: Actor, found: Bundle, pk: UUID) -> Imported:
    """What is there is looked for before the workspace is locked: it takes long, and what it finds stays as it is."""
    looking = _Looking(actor, found)
    looking.pipeline(found.root)
    with transaction.atomic():
        creation.lock(actor)
        if (known := scoped(Pipeline, actor).filter(pk=pk).first()) is not None:
            return Imported(known, reused=[known.slug])
        return _Unpacking(actor, found, looking, pk).result()


class _Looking:
    """Finds what a bundle carries and the workspace has; what names something new, or stands in a circle, is new too.

    `pipelines` and `agents` say what each is here, None where it is new; what nothing refers to is in neither.
    """

    def __init__(self, actor: Actor, found: Bundle) -> None:
        self.pipelines: dict[str, str | None] = {}
        self.agents: dict[str, str | None] = {}
        self.circular = bundle.circular(found)
        self._actor, self._bundle = actor, found

    def pipeline(self, name: str) -> str | None:
        """Return the reference by which this pipeline is named here: with a version where it has one."""
        if name not in self.pipelines:
            self.pipelines[name] = None  # for what names it in turn
            entry = self._bundle.pipelines[name]
            asked = _all_known(entry.agents, self.agent)
            called = _all_known(entry.pipelines, self.pipeline)
            if asked is not None and called is not None and name not in self.circular:
                said = (bundle.rewritten(entry.document, asked, names) for names in _ways(called))
                self.pipelines[name] = self._there(*said)
        return self.pipelines[name]

    def agent(self, name: str) -> str | None:
        """Return slug@number of an agent here that says this."""
        if name not in self.agents:
            self.agents[name] = None
            entry = self._bundle.agents[name]
            called = _all_known(entry.pipelines, self.pipeline)
            if called is not None and name not in self.circular:
                self.agents[name] = self._version(name, entry, called)
        return self.agents[name]

    def _version(self, name: str, entry: BundledAgent, called: Mapping[str, str]) -> str | None:
        there = scoped(Agent, self._actor).select_related("workspace").filter(slug=entry.slug).first()
        if there is None:
            return None
        with _placed(name, entry):
            ways = (_with_tools(entry.fields, names) for names in _ways(called))
            same = next((row for one in ways if (row := agents.matching(there, one))), None)
        return f"{entry.slug}@{same.number}" if same else None

    def _there(self, *documents: Json) -> str | None:
        """Return the reference of a pipeline here that says one of these, under its own or a numbered name."""
        wanted = {_said(document) for document in documents}
        stem = str(documents[0]["id"])[: creation.LONGEST_SLUG - 6]
        alike = scoped(Pipeline, self._actor).filter(slug__startswith=stem, archived_at=None).select_related("draft")
        for pipeline in alike.order_by("created_at")[:_LOOKED_AT]:
            versions = pipeline.versions.filter(number__isnull=False).order_by("-number")[:_LOOKED_AT]
            for version in versions:
                if _said(version.document) in wanted:
                    return f"{pipeline.slug}@{version.number}"
            if _said(pipeline.draft.document) in wanted:
                return pipeline.slug
        return None


class _Unpacking:
    """Makes what a bundle carries and is new, what others name first. The workspace is locked meanwhile."""

    def __init__(self, actor: Actor, found: Bundle, looking: _Looking, pk: UUID) -> None:
        self._actor, self._bundle, self._pk = actor, found, pk
        self._made: list[str] = []
        self._pipelines = {name: there for name, there in looking.pipelines.items() if there}
        self._agents = {name: there for name, there in looking.agents.items() if there}
        self._reused = [*self._pipelines.values(), *self._agents.values()]
        self._in_circles = sorted(looking.pipelines.keys() & looking.circular)
        self._kept: dict[str, dict[str, Json]] = {}

    def result(self) -> Imported:
        for name in self._in_circles:  # their names stand before any of them is written
            kept = self._kept[name] = self._named(self._bundle.pipelines[name].document)
            self._pipelines[name] = str(kept["id"])
        self._pipeline(self._bundle.root)
        for name in self._in_circles:
            self._make(name)
        slug = self._pipelines[self._bundle.root].partition("@")[0]
        pipeline = scoped(Pipeline, self._actor).select_related("draft", "workspace").get(slug=slug)
        return Imported(pipeline, self._made, self._reused, self._missing())

    def _pipeline(self, name: str) -> str:
        if name not in self._pipelines:
            self._pipelines[name] = self._make(name)
        return self._pipelines[name]

    def _make(self, name: str) -> str:
        """Write a draft and return its slug."""
        entry = self._bundle.pipelines[name]
        asked = {old: self._agent(target) for old, target in entry.agents.items()}
        called = {old: self._pipeline(target) for old, target in entry.pipelines.items()}
        own = self._kept.get(name) or self._named(entry.document)
        is_root = name == self._bundle.root
        document = bundle.rewritten(own, asked, called)
        self._made.append(drafts.create(self._actor, document, self._pk if is_root else None).slug)
        return self._made[-1]

    def _named(self, document: Mapping[str, Json]) -> dict[str, Json]:
        kept = [str(one["id"]) for one in self._kept.values()]
        return creation.named(self._actor, document, str(document["id"]), str(document["name"]), kept)

    def _agent(self, name: str) -> str:
        """Return slug@number of the agent, of a new version or a new agent where it is not here."""
        if name not in self._agents:
            entry = self._bundle.agents[name]
            called = {old: self._pipeline(target) for old, target in entry.pipelines.items()}
            with _placed(name, entry):
                number = self._version(entry, _with_tools(entry.fields, called))
            self._agents[name] = f"{entry.slug}@{number}"
            self._made.append(self._agents[name])
        return self._agents[name]

    def _version(self, entry: BundledAgent, fields: agents.AgentFields) -> int:
        there = scoped(Agent, self._actor).filter(slug=entry.slug).first()
        if there is None:
            return agents.create(self._actor, entry.slug, fields, name=entry.name).number
        return agents.new_version(self._actor, there, fields).number

    def _missing(self) -> list[str]:
        wanted = {name for agent in self._bundle.agents.values() for name in agent.fields.get("secrets", ())}
        known = scoped(Secret, self._actor).filter(name__in=wanted).values_list("name", flat=True)
        return sorted(wanted - set(known))


def _all_known(references: Mapping[str, str], known: Callable[[str], str | None]) -> dict[str, str] | None:
    """Return by which names these are known, None where one is not; each of them is asked for."""
    found = {old: known(target) for old, target in references.items()}
    return None if None in found.values() else {old: name for old, name in found.items() if name is not None}


@contextmanager
def _placed(name: str, entry: BundledAgent) -> Iterator[None]:
    """Say of what an agent cannot be where in the bundle it stands."""
    try:
        yield
    except Invalid as invalid:
        where = f"/agents/{name}/fields{invalid.where or ''}"
        raise Invalid(f"{entry.slug}: {invalid.message}", code=invalid.code, where=where) from None


def _ways(references: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    """Return the ways in which what is here may name the same: first how an import names it now, exactly where it can;
    then without versions, as it did before anything was published; then with a version where the bundle has one."""
    bare = {old: new.partition("@")[0] for old, new in references.items()}
    return references, bare, {old: references[old] if "@" in old else bare[old] for old in references}


def _with_tools(fields: Mapping[str, Json], called: Mapping[str, str]) -> agents.AgentFields:
    tools = list(fields.get("tools", ()))
    for index, tool in enumerate(tools):
        if is_pipeline(tool) and (new := called.get(tool.removeprefix(PIPELINE_TOOL))):
            tools[index] = PIPELINE_TOOL + new
    return agents.AgentFields.from_json({**fields, "tools": tools})


def _said(document: Json) -> str:
    """Return the digest of what a document does, whatever it is called."""
    return content_hash({key: value for key, value in document.items() if key not in ("id", "name", "x")})
