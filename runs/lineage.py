"""What a step's output came from: the steps before it that led to it, and who and what worked in each.

From rows alone: the run's pinned version says what reads what, the steps' rows say what ran, the journal and the log
say which models, tools and people had a part in it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.fields.json import KeyTextTransform, KeyTransform

from accounts.access import Actor
from accounts.errors import NotFound
from pipelines.graph import parse
from pipelines.graph.expressions import ExpressionError, expression_references, references
from pipelines.graph.lock import Lock
from pipelines.graph.model import Json, Kind
from pipelines.graph.places import Place, places
from pipelines.graph.rules.references import holes
from pipelines.graph.shape import Hole
from runs.engine import paths
from runs.engine.origin import document_at
from runs.engine.scope import MADE
from runs.engine.status import StepState
from runs.family import started_by
from runs.models import Call, Event, Run, Step

MOST_STEPS = 1_000
_HAD_A_PART = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.RUNNING, StepState.WAITING})


@dataclass(frozen=True, slots=True)
class Origin:
    """One step on the way. `reads` are the paths whose values it read, `after` those whose arrows led to it.

    `agent` is slug@number; `tools` are {tool, state, approved_by}; `decisions` are {kind, decision, by, reason, at};
    `runs` are {run, number, pipeline, state} of the runs that the step started: its lineage goes on there.
    """

    step: Step
    reads: Sequence[str]
    after: Sequence[str]
    agent: str | None
    models: Sequence[str]
    tools: Sequence[Mapping[str, Json]]
    decisions: Sequence[Mapping[str, Json]]
    runs: Sequence[Mapping[str, Json]] = ()

    @property
    def place(self) -> str:
        return paths.place_of(self.step.path)

    @property
    def reused_from(self) -> str | None:
        """The run in which the step did its work, where a fork took it over: its lineage goes on there."""
        return getattr(self.step, "reused_from", None)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The asked step first, then what is nearest to it; `truncated` says that a thousand steps were not all."""

    origins: Sequence[Origin]
    truncated: bool


def lineage(actor: Actor, run: Run, path: str) -> Lineage:
    """Return where the output of the step at `path` came from; NotFound where the run has no such step.

    `run` comes with its version; of the runs that its steps started, those that the actor sees. At most five queries,
    whatever the number of steps.
    """
    family = _Family(run)
    if path not in family.steps:
        raise NotFound
    found, waiting = {path: family.sources(path, inside=False)}, [path]
    for near in waiting:
        for source in found[near].all:
            if source not in found and len(found) < MOST_STEPS:
                # Seen from inside, a container gave its items their list; its other items have no part in them.
                found[source] = family.sources(source, inside=source in paths.containers_of(near))
                waiting.append(source)
    cut_off = any(source not in found for sources in found.values() for source in sources.all)
    return Lineage(_origins(family, found, _started(actor, run, found)), cut_off)


@dataclass(slots=True)
class _Sources:
    reads: dict[str, None] = field(default_factory=dict)
    after: dict[str, None] = field(default_factory=dict)

    @property
    def all(self) -> Iterator[str]:
        yield from self.reads
        yield from (path for path in self.after if path not in self.reads)


class _Family:
    """The run's document and steps, by place and path."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lock = Lock.from_json(run.version.lock)
        document = document_at(parse.parse(run.version.document), run.origin.get("place", ""))
        self.places = {place.name: place for place in places(document)}
        origin = KeyTextTransform("run", KeyTransform("reused_from", "memo"))
        made = KeyTextTransform("agent", KeyTransform("step", KeyTransform(MADE, "memo")))
        shown = ("path", "node", "kind", "title", "state", "attempt", "port", "flags", "started_at", "finished_at")
        rows = Step.objects.filter(run=run).annotate(reused_from=origin, made_agent=made).only(*shown)
        self.steps = {step.path: step for step in rows.order_by("position")}
        self._inside: defaultdict[str, list[str]] = defaultdict(list)
        self._turns: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.steps:
            for container in paths.containers_of(path):
                self._inside[f"{container}:{paths.node_of(path)}"].append(path)
                self._turns[container].append(path)
                break

    def sources(self, path: str, *, inside: bool) -> _Sources:
        """Return what a step read and followed; `inside` looks at a container as what runs in it sees it."""
        sources, place = _Sources(), self.places.get(paths.place_of(path))
        if place is None:
            return self._of_made(path)
        for source, port in _edges_into(place):
            before = paths.prefix_of(path) + source
            if self._led_on(before, port):
                sources.after[before] = None
        if place.node.kind is Kind.COMBINE:  # it merges what arrives, without naming it
            sources.reads.update(sources.after)
        for hole in holes(place):
            if not (hole.inner and inside):
                sources.reads.update(dict.fromkeys(self._named(path, place, hole)))
        if place.node.graph is not None and not inside and place.node.config.get("result") is None:
            ends = [name for name, edges in place.node.graph.outs.items() if not edges]
            sources.reads.update(dict.fromkeys(one for name in ends for one in self._inside[f"{path}:{name}"]))
        if place.node.graph is None and place.node.iterates and not inside:
            sources.reads.update(dict.fromkeys(one for one in self._turns[path] if self._had_a_part(one)))
        if around := next(paths.containers_of(path), None):
            sources.after[around] = None
        return sources

    def _of_made(self, path: str) -> _Sources:
        """Return what a step of a turn or a delegation goes on from: all that had ended in there when it began."""
        sources, began = _Sources(), self.steps[path].started_at
        around = next(paths.containers_of(path), None)
        if around is None:
            return sources
        sources.after[around] = None
        for one in self._turns[around] if began else ():
            ended = self.steps[one].finished_at
            if one != path and ended and began and ended <= began and self._had_a_part(one):
                sources.reads[one] = None
        return sources

    def _named(self, path: str, place: Place, hole: Hole) -> Iterator[str]:
        """Yield the paths of the steps whose values a template or an expression reads."""
        for root, name in _references(hole):
            if root == "round":
                yield from self._of_round_before(path, place, name)
            elif root == "steps" and hole.inner and place.node.graph and name in place.node.graph.nodes:
                yield from self._inside[f"{path}:{name}"]
            elif root == "steps":
                yield from self._resolved(path, place, name)
            else:
                yield from self._giving(path, place, root)

    def _resolved(self, path: str, place: Place, name: str) -> Iterator[str]:
        """Yield the path of the step that a name means here: in this scope, else in the next one around it."""
        seen: Place | None = place
        while seen is not None:
            if name in seen.graph.nodes:
                found = paths.prefix_of(path) + name
                if self._had_a_part(found):
                    yield found
                return
            seen, path = seen.parent, next(paths.containers_of(path), "")

    def _giving(self, path: str, place: Place, root: str) -> Iterator[str]:
        """Yield the container whose item a name means."""
        for around, container in zip(paths.containers_of(path), place.enclosing, strict=False):
            if root in ("item", "item_index", container.node.config.get("as")):
                yield around
                return

    def _of_round_before(self, path: str, place: Place, name: str) -> Iterator[str]:
        """Yield the step of the round before that `round.previous.name` means."""
        for prefix, container in zip(paths.scopes_of(path), place.enclosing, strict=False):
            if container.node.kind is Kind.REPEAT:
                found = paths.round_before(prefix) + name
                if name and self._had_a_part(found):
                    yield found
                return

    def _led_on(self, path: str, port: str) -> bool:
        return self._had_a_part(path) and port in (self.steps[path].port or port).split(",")

    def _had_a_part(self, path: str) -> bool:
        return path in self.steps and self.steps[path].state in _HAD_A_PART

    def agent_of(self, path: str) -> str | None:
        place = self.places.get(paths.place_of(path))
        agent = place.node.config.get("agent") if place else getattr(self.steps[path], "made_agent", None)
        if not agent:
            return None
        try:
            return self.lock.agent(str(agent)).id
        except KeyError:
            return None


def _edges_into(place: Place) -> Iterator[tuple[str, str]]:
    for index in place.graph.ins[place.node.id]:
        edge = place.graph.edges[index]
        yield edge.source, edge.port


def _references(hole: Hole) -> Iterator[tuple[str, str]]:
    """Yield (root, name of a step) of all that a template or expression reads; nothing of one that never worked."""
    try:
        found = references(hole.value) if hole.form == "template" else expression_references(hole.value)
    except ExpressionError:
        return
    for reference in found:
        segments = reference.segments[1:] if reference.root == "round" else reference.segments
        yield reference.root, str(segments[0]) if segments else ""


def _started(actor: Actor, run: Run, found: Collection[str]) -> Mapping[str | None, Sequence[Mapping[str, Json]]]:
    started: defaultdict[str | None, list[Mapping[str, Json]]] = defaultdict(list)
    children = started_by(actor, run, found).order_by("parent_count") if run.children else ()
    for child in children:
        named = {"run": str(child.pk), "number": child.number, "pipeline": child.pipeline.slug, "state": child.state}
        started[child.parent_path].append(named)
    return started


def _origins(
    family: _Family, found: Mapping[str, _Sources], started: Mapping[str | None, Sequence[Mapping[str, Json]]]
) -> list[Origin]:
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    rows = Call.objects.filter(run=family.run, path__in=list(found)).only("path", "kind", "name", "state", "approval")
    for call in rows.order_by("id"):
        calls[call.path].append(call)
    events = list(Event.objects.filter(run=family.run, type="approval_decided").order_by("seq"))
    by = {event.payload.get("approval"): event.payload.get("by") for event in events}
    decisions: defaultdict[str | None, list[Mapping[str, Json]]] = defaultdict(list)
    for event in events:
        decisions[event.path].append(_decision(event))
    return [
        Origin(
            step=family.steps[path],
            reads=list(sources.reads),
            after=list(sources.after),
            agent=family.agent_of(path),
            models=list(dict.fromkeys(call.name for call in calls[path] if call.kind == "model")),
            tools=[_tool(call, by) for call in calls[path] if call.kind == "tool"],
            decisions=decisions[path],
            runs=started.get(path, ()),
        )
        for path, sources in found.items()
    ]


def _tool(call: Call, by: Mapping[Any, Any]) -> dict[str, Json]:
    approver = by.get(str(call.approval)) if call.approval else None
    return {"tool": call.name, "state": call.state, "approved_by": approver}


def _decision(event: Event) -> dict[str, Json]:
    return {**{name: event.payload.get(name) for name in ("kind", "decision", "by", "reason")}, "at": event.at}
