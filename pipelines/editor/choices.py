"""What a workspace has to choose from in a step's form: agents, tools, pipelines, models, steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from accounts.access import Actor
from pipelines.editor.forms import Input
from pipelines.graph.kinds import ROLES
from pipelines.graph.lock import Library, Price, resolve
from pipelines.graph.model import Kind
from pipelines.graph.places import Place
from pipelines.graph.tools import Effect
from pipelines.library.library import library_of
from pipelines.models import Agent

EFFECTS = {
    Effect.NONE: "only reads",
    Effect.REVERSIBLE: "can be undone",
    Effect.IRREVERSIBLE: "cannot be undone",
}
_AGENTS = frozenset({"agent", "judge"})
Options = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Offered:
    kind: str
    options: Options


@dataclass(frozen=True)
class Choices:
    library: Library
    agent_names: Mapping[str, str]
    tools: Options
    pipelines: Options
    models: Options

    def options(self, one: Input, place: Place) -> Offered | None:
        """Return what an input offers instead of free text; None for any other input."""
        name = one.where.rpartition("/")[2]
        if one.kind not in ("text", "lines", "area"):
            return None
        if name in _AGENTS:
            return Offered("pick", _with(self.agents, one.text, self.agent(one.text)))
        if name == "tool":
            return Offered("pick", _with(self.tools, one.text))
        if name == "pipeline":
            return Offered("pick", _with(self.pipelines, one.text))
        if name == "model":
            return Offered("suggest", self.models)
        return self._of_lists(name, one, place)

    def _of_lists(self, name: str, one: Input, place: Place) -> Offered | None:
        if name == "members":
            found = self.agents
            for ref in one.text.splitlines():
                found = _with(found, ref, self.agent(ref))
            return Offered("many", found)
        if name == "roles":
            return Offered("checks", [(role, role.capitalize()) for role in ROLES])
        if name == "tools" and place.node.kind is Kind.AGENT:
            exact = resolve(str(place.node.config["agent"]), self.library.agents)
            held = self.library.agents[exact].tools if exact else ()
            return Offered("checks", [(tool, self.word(tool)) for tool in held])
        if name == "guards":
            actions = [node for node in place.graph.nodes.values() if node.kind is Kind.TOOL]
            return Offered("pick", _with([(node.id, node.title or node.id) for node in actions], one.text))
        return None

    def agent(self, ref: str) -> str:
        """Return an agent's name and version, its model and what that costs; the reference itself where it leads
        nowhere or to no one version.
        """
        known = self.library.agents.get(ref)
        if known is None:
            return ref
        slug, _, number = ref.partition("@")
        price = _priced(self.library.prices.get(known.model))
        return f"{self.agent_names.get(slug, slug)} v{number} · {known.model} · {price}"

    @cached_property
    def agents(self) -> Options:
        return [(ref, self.agent(ref)) for ref in newest(self.library.agents)]

    def word(self, tool: str) -> str:
        """Return a tool's title and what it does to the world."""
        exact = resolve(tool, self.library.tools)
        spec = self.library.tools[exact] if exact else None
        return f"{spec.title} · {EFFECTS[spec.effect]}" if spec else tool


def choices_of(actor: Actor) -> Choices:
    """Return what a person may choose from, in words."""
    library = library_of(actor)
    return Choices(
        library=library,
        agent_names=dict(Agent.objects.filter(workspace=actor.workspace).values_list("slug", "name")),
        tools=[
            (ref, f"{library.tools[ref].title} · {EFFECTS[library.tools[ref].effect]}") for ref in newest(library.tools)
        ],
        pipelines=[
            (ref, f"{library.pipelines[ref].name} v{ref.partition('@')[2]}") for ref in newest(library.pipelines)
        ],
        models=[(model, f"{model} · {_priced(library.prices[model])}") for model in library.prices],
    )


def _priced(price: Price | None) -> str:
    """Return a model's price per million tokens in words."""
    if price is None:
        return "unknown price"
    return f"${price.input / 1e6:g} in, ${price.output / 1e6:g} out per million tokens"


def newest(exact: Mapping[str, object]) -> list[str]:
    """Return the newest version of each name, as name@version."""
    return sorted({found for name in exact if (found := resolve(name.partition("@")[0], exact))})


def _with(options: Options, chosen: str, word: str = "") -> Options:
    """Return the options with the chosen one among them, however old its version."""
    return options if not chosen or any(ref == chosen for ref, _ in options) else [(chosen, word or chosen), *options]
