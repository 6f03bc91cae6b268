"""Where a run comes from: a person, or a step of another run, with what came along. Pure; its ids follow from names."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.graph.canonical import digest
from pipelines.graph.model import Document, Graph, Json, Node

MAX_DEPTH = 5
# A child's id follows from its parent and the step, so that a repeated commit names the same run.
_NAMESPACE = uuid.UUID("0c8d6f0e-2f1b-5c59-8d5b-3f3f6a9d7b42")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run above this one: the slug of its pipeline, and the digest of its input."""

    pipeline: str
    input: str


@dataclass(frozen=True, slots=True)
class Origin:
    """`run` is the run's own id. A run that people started has the defaults.

    `ancestors` begin with the run that people started. `labels` say whose words the run was given, by name
    (`input.topic`; in an item of a For each also `item`, `steps.research`). `place` is the dotted place of the For each
    whose item this run is, "" for a run of a whole pipeline; its input then is what the item sees of the run around it.
    `grows` are the kinds of caps (cost, tokens, calls, seconds) of which it has a part and asks its parent for more.
    `seconds`, where those grow, are all that its parent had left of them when it began: no attempt may take longer.
    `lock` is the name of a lock held above it until it ends, "" where none is. `shares_board`: its board is not its
    alone. `alone`: it is a step that somebody tries, which only pretends to act, so nobody is asked before.
    `unattended`: it is a rehearsal in which nobody is asked at all; `runs.engine.standing_in` answers instead.
    """

    run: str = ""
    ancestors: tuple[Ancestor, ...] = ()
    max_depth: int = MAX_DEPTH
    labels: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    grows: tuple[str, ...] = ()
    seconds: float | None = None
    lock: str = ""
    shares_board: bool = False
    alone: bool = False
    unattended: bool = False

    @property
    def is_item(self) -> bool:
        return bool(self.place)

    @classmethod
    def from_json(cls, run: str, data: Mapping[str, Json]) -> "Origin":
        """Return the origin of a run's row, {} for one that people started."""
        return cls(
            run=run,
            ancestors=tuple(Ancestor(*entry) for entry in data.get("ancestors", ())),
            max_depth=data.get("max_depth", MAX_DEPTH),
            labels=data.get("labels", {}),
            place=data.get("place", ""),
            grows=_grows(data.get("grows")),
            seconds=data.get("seconds"),
            lock=data.get("lock", ""),
            shares_board=data.get("shares_board", False),
            alone=data.get("alone", False),
            unattended=data.get("unattended", False),
        )

    def as_json(self) -> dict[str, Json]:
        return {
            "ancestors": [[one.pipeline, one.input] for one in self.ancestors],
            "max_depth": self.max_depth,
            "labels": dict(self.labels),
            "place": self.place,
            "grows": list(self.grows),
            "seconds": self.seconds,
            "lock": self.lock,
            "shares_board": self.shares_board,
            "alone": self.alone,
            "unattended": self.unattended,
        }

    def chain(self, document: Document, input: Json) -> tuple[Ancestor, ...]:
        """Return the ancestors of a child of this run. An item belongs to the run whose For each it is."""
        return self.ancestors if self.is_item else (*self.ancestors, Ancestor(document.id, digest(input)))


def _grows(found: Json) -> tuple[str, ...]:
    """Return which caps grow; the row of a run that was started before they were told apart says only that some do."""
    return ("cost", "tokens", "calls") if found is True else tuple(found or ())


def child_id(run: str, path: str, number: int) -> str:
    """Return the id of the child that a step starts as its first, second … one."""
    return str(uuid.uuid5(_NAMESPACE, f"{run}/{path}/{number}"))


def document_at(document: Document, place: str) -> Document:
    """Return a document as a run sees it: an item of a For each has the graph of that alone."""
    return replace(document, graph=graph_at(document, place)) if place else document


def graph_at(document: Document, place: str) -> Graph:
    """Return the graph that a run carries out: the document's, or that of the For each at a dotted place."""
    return node_at(document, place).graph or document.graph if place else document.graph


def node_at(document: Document, place: str) -> Node:
    """Return the step at a dotted place; raise KeyError where there is none."""
    *around, last = place.split(".")
    graph = document.graph
    for name in around:
        inner = graph.nodes[name].graph
        if inner is None:
            raise KeyError(place)
        graph = inner
    return graph.nodes[last]
