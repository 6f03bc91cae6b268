"""Pipelines that a step may start: they are published, take what they are given, and stand in where they can."""

from collections.abc import Iterator, Mapping

from pipelines.graph import schemas
from pipelines.graph.freeze import agents_of, is_pipeline, pipelines_among, pipelines_of
from pipelines.graph.lock import PIPELINE_TOOL, PipelineSpec, resolve
from pipelines.graph.model import Fallback, Json, Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.names import Taker, given_fields
from pipelines.graph.rules.subject import Subject, named, problem
from pipelines.graph.stand_ins import given_to_pipeline, takes_models


def check_pipelines(subject: Subject) -> Iterator[Problem]:
    """Yield what a step names that is not published, and values that the pipeline does not take."""
    for place in subject.places:
        for field, reference in pipelines_of(place.node):
            found = _pipeline(subject, reference)
            if found is None:
                yield problem(place, "error", "unknown_pipeline", _unknown(reference), *field.split("/"))
            elif field == "pipeline":
                yield from given_fields(subject, place, Taker(found.name, _form(found), "inputs"))
        yield from _fallbacks(subject, place)
        yield from _of_agents(subject, place)


def _fallbacks(subject: Subject, place: Place) -> Iterator[Problem]:
    """Yield the step's own fallbacks that cannot stand in for it, and pipelines that do not take what it would give.

    Those of the document's `defaults` are for the steps that they can stand in for.
    """
    for index, fallback in enumerate(place.node.on_error.fallback):
        at = ("on_error", "fallback", index)
        names = given_to_pipeline(place.node)
        if fallback.kind == "pipeline" and names is not None:
            if wrong := _does_not_take(_pipeline(subject, fallback.ref), names):
                yield problem(place, "error", "missing_argument", wrong, *at)
        elif not place.node.on_error.inherits_fallback:
            yield from _of_no_use(place, fallback, at)


def _of_no_use(place: Place, fallback: Fallback, at: tuple[str | int, ...]) -> Iterator[Problem]:
    if fallback.kind == "pipeline":
        message = "No pipeline can stand in for this step. Say under “then” what happens when it fails."
        yield problem(place, "error", "not_available", message, *at)
    elif place.node.kind is Kind.PIPELINE:
        message = "Only another pipeline can stand in for a pipeline. Choose one."
        yield problem(place, "error", "not_available", message, *at)
    elif not takes_models(place.node):
        message = (
            f"No model carries {named(place)} out, so the {fallback.kind} {fallback.ref!r} never stands in for it. "
            "Remove it, and say under “then” what happens when the step fails."
        )
        yield problem(place, "warning", "fallback_unused", message, *at)


def _of_agents(subject: Subject, place: Place) -> Iterator[Problem]:
    """Yield the pipelines among the tools of the step's agents that are not there, or not the agent's."""
    for field, reference in agents_of(place.node):
        agent = subject.agent(reference)
        for name in pipelines_among(agent.tools) if agent else ():
            if _pipeline(subject, name) is None:
                message = f"The agent {reference!r} may start {name!r}: {_unknown(name)}"
                yield problem(place, "error", "unknown_pipeline", message, *field.split("/"))
    if place.node.kind is not Kind.AGENT:
        return
    agent = subject.agent(place.node.config["agent"])
    for index, tool in enumerate(place.node.config["tools"] or ()):
        if agent and is_pipeline(tool) and tool not in agent.tools:
            message = f"The agent {place.node.config['agent']!r} may not start {tool.removeprefix(PIPELINE_TOOL)!r}."
            yield problem(place, "error", "tool_not_granted", message, "tools", index)


def _does_not_take(found: PipelineSpec | None, names: tuple[str, ...]) -> str:
    """Return in a sentence why a pipeline cannot run with the fields of these names, "" when it can or is not known."""
    if found is None:
        return ""
    form = _form(found)
    properties = form.get("properties") or {}
    missing = [
        name for name in form.get("required", ()) if name not in names and "default" not in (properties.get(name) or {})
    ]
    if missing:
        return f"{found.name} needs {missing[0]!r}, which it would not be given here."
    refused = [name for name in names if name not in properties and form.get("additionalProperties") is False]
    return f"{found.name} takes no {refused[0]!r}, which it would be given here." if refused else ""


def _form(found: PipelineSpec) -> Mapping[str, Json]:
    lawful = isinstance(found.inputs, dict) and schemas.check_schema(found.inputs) is None
    return found.inputs if lawful else {}


def _pipeline(subject: Subject, reference: str) -> PipelineSpec | None:
    exact = resolve(reference, subject.library.pipelines)
    return subject.library.pipelines[exact] if exact else None


def _unknown(reference: str) -> str:
    if not reference:
        return "Choose a pipeline."
    return f"There is no published pipeline {reference!r} in this workspace. Publish it first."
