"""What a template needs and does, read off its document: agents, models, what leaves Baton, who is asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from pipelines import gallery
from pipelines.graph.model import Json, Kind, Node
from pipelines.graph.parse import parse
from pipelines.graph.places import places
from pipelines.graph.tools import Effect
from pipelines.library import models
from pipelines.library.tools import TOOLS


class Way(StrEnum):
    """How something leaves Baton."""

    MAIL = "mail"
    CRM = "crm"
    WEB = "web"


class Consent(StrEnum):
    """When a person is asked. UNSURE: only where the agents do not agree."""

    NOBODY = "nobody"
    BEFORE = "before"
    PLAN = "plan"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to the world. `approved`: it cannot be undone, so a person says yes to each."""

    says: str
    icon: str = "plug"
    way: Way | None = None
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of a template."""

    name: str
    model: str
    goal: str


@dataclass(frozen=True, slots=True)
class Needs:
    steps: int
    members: tuple[Member, ...]
    actions: tuple[Action, ...]
    consent: frozenset[Consent]
    providers: tuple[str, ...]
    cap_micros: int | None

    @property
    def ways(self) -> frozenset[Way]:
        return frozenset(action.way for action in self.actions if action.way)

    @property
    def asks(self) -> str:
        """When a person is asked, in words; empty where nobody is, or where an action says so already."""
        if not self.consent or any(action.approved for action in self.actions):
            return ""
        return _ASKS[min(self.consent)]


_ASKS = {
    Consent.BEFORE: "A person approves",
    Consent.PLAN: "A person approves the plan",
    Consent.UNSURE: "A person breaks a tie",
}
_ACTIONS = {
    "email.send": Action("Sends email", icon="mail", way=Way.MAIL),
    "crm.log": Action("Writes to the CRM", icon="contact", way=Way.CRM),
    "http.request": Action("Calls web addresses", icon="globe", way=Way.WEB),
    "web.search": Action("Searches the web", icon="globe", way=Way.WEB),
    "web.fetch": Action("Reads web pages", icon="globe", way=Way.WEB),
    "knowledge.search": Action("Searches your documents", icon="book-open"),
    "notes.append": Action("Writes in your notebook", icon="notebook-pen"),
}
_AGENTS, _TOOLS = frozenset({"agent", "judge", "members"}), frozenset({"tool", "tools"})


@cache
def needs_of(name: str) -> Needs:
    """Return what a template needs, with what the pipelines need that it starts."""
    template = gallery.template(name)
    document = parse(template.document)
    nodes = [place.node for place in places(document)]
    named = list(_named(template.document["graph"]))
    below = [needs_of(slug) for key, slug in named if key == "pipeline"]
    agents = list(dict.fromkeys(slug for key, slug in named if key in _AGENTS))
    members = tuple(dict.fromkeys([*map(_member, agents), *(one for needs in below for one in needs.members)]))
    tools = [slug for key, slug in named if key in _TOOLS]
    tools += [_slug(ref) for agent in agents for ref in _agent(agent).get("tools") or ()]
    actions = (*map(_action, dict.fromkeys(tools)), *(one for needs in below for one in needs.actions))
    providers = {member.model.partition("/")[0] for member in members if not models.is_simulated(member.model)}
    return Needs(
        steps=sum(node.kind not in (Kind.INPUT, Kind.OUTPUT) for node in nodes),
        members=members,
        actions=tuple(dict.fromkeys(actions)),
        consent=frozenset(filter(None, map(_consent, nodes))),
        providers=tuple(sorted(providers)),
        cap_micros=document.budget.max_cost_micros,
    )


def lock_of(name: str) -> dict[str, Json]:
    """Return of a template what a version's lock says of agents and tools, as far as a picture shows it."""
    named = set(_named(gallery.template(name).document["graph"]))
    agents = {f"{slug}@1": _agent(slug) for key, slug in named if key in _AGENTS}
    return {"agents": agents, "tools": {ref: {"effect": spec.effect} for ref, spec in TOOLS.items()}}


def _named(value: Json) -> Iterator[tuple[str, str]]:
    """Yield (key, slug) for each agent, tool and pipeline that a document names."""
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            listed = item if isinstance(item, list) else [item]
            if key in _AGENTS | _TOOLS | {"pipeline"} and all(isinstance(one, str) for one in listed):
                yield from ((key, _slug(one)) for one in listed)
            else:
                yield from _named(item)


def _slug(ref: str) -> str:
    return ref.partition("@")[0]


def _agent(slug: str) -> Mapping[str, Json]:
    found: Mapping[str, Json] = gallery.agents_of_templates()[slug]
    return found


def _member(slug: str) -> Member:
    agent = _agent(slug)
    return Member(agent["name"], agent["model"], agent.get("goal", ""))


def _action(slug: str) -> Action:
    spec = next((spec for ref, spec in TOOLS.items() if _slug(ref) == slug), None)
    approved = spec is None or spec.effect == Effect.IRREVERSIBLE
    known = _ACTIONS.get(slug) or Action(spec.title if spec else slug)
    return replace(known, approved=approved)


def _consent(node: Node) -> Consent | None:
    if node.kind == Kind.HUMAN:
        return Consent.UNSURE if node.config["mode"] == "answer" else Consent.BEFORE
    return Consent.PLAN if node.config.get("review_plan") else None
