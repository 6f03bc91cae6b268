"""Kept results: only of steps that ask a model or read, never of what changes the world."""

from collections.abc import Iterator

from pipelines.graph.kinds import BY_JUDGEMENT
from pipelines.graph.model import Kind, Node
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem
from pipelines.graph.tools import Effect, ToolSpec


def check_cache(subject: Subject) -> Iterator[Problem]:
    """Yield an error where keeping a result would leave out what must happen, a warning where nothing is kept."""
    for place in subject.places:
        if place.node.cache and place.node.cache["mode"] != "off":
            yield from _kept(subject, place)


def _kept(subject: Subject, place: Place) -> Iterator[Problem]:
    node = place.node
    if node.kind is Kind.TOOL:
        if (tool := subject.tool(node.config["tool"])) is not None:
            yield from _action(place, tool)
    elif not _asks_model(node):
        message = f"{named(place)} asks nothing that could be asked once for all, so nothing is kept. Remove the cache."
        yield problem(place, "warning", "cache_unused", message, "cache")
    elif (agent := subject.agent(node.config.get("agent"))) is not None:
        acting = [name for name in agent.tools if (tool := subject.tool(name)) and tool.effect is not Effect.NONE]
        if acting:
            message = f"The results of {named(place)} are kept only when it changed nothing: it may use {acting[0]}."
            yield problem(place, "warning", "cache_unused", message, "cache")


def _action(place: Place, tool: ToolSpec) -> Iterator[Problem]:
    effect = tool.effect_of(place.node.config["args"])
    if effect is Effect.IRREVERSIBLE and not _method_comes_later(place.node, tool):
        message = f"{named(place)} cannot be undone, so each run must do it itself. Remove the cache."
        yield problem(place, "error", "cache_irreversible", message, "cache")
    elif effect is not Effect.NONE:
        message = f"{named(place)} changes something, so its result is not kept. Remove the cache."
        yield problem(place, "warning", "cache_unused", message, "cache")


def _method_comes_later(node: Node, tool: ToolSpec) -> bool:
    """Tell whether only the run will show what the call does."""
    return bool(tool.safe_methods) and "${" in str(node.config["args"].get("method", ""))


def _asks_model(node: Node) -> bool:
    match node.kind:
        case Kind.AGENT:
            return bool(node.config["conversation"] == "none")
        case Kind.DECIDE:
            return bool(node.config["mode"] == "ai")
        case Kind.COMBINE:
            return bool(node.config["merge"] in BY_JUDGEMENT)
        case _:
            return False
