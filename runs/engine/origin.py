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
    `grows`: where its caps stand in the way it asks its parent for more.
    """

    run: str = ""
    ancestors: tuple[Ancestor, ...] = ()
    max_depth: int = MAX_DEPTH
    labels: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    grows: bool = False

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
            grows=data.get("grows", False),
        )

    def as_json(self) -> dict[str, Json]:
        return {
            "ancestors": [[one.pipeline, one.input] for one in self.ancestors],
            "max_depth": self.max_depth,
            "labels": dict(self.labels),
            "place": self.place,
            "grows": self.grows,
        }

    def chain(self, document: Document, input: Json) -> tuple[Ancestor, ...]:
        """Return the ancestors of a child of this run. An item belongs to the run whose For each it is."""
        return self.ancestors if self.is_item else (*self.ancestors, Ancestor(document.id, digest(input)))


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
