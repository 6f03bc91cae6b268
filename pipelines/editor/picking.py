"""The values a step may read, as a tree to pick from, and those its prompts read already."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.canvas import spoken
from pipelines.graph.expressions import ExpressionError, Reference, holes
from pipelines.graph.model import Document, Json, Kind, Node
from pipelines.graph.places import Place
from pipelines.graph.rules.subject import Subject
from pipelines.graph.rules.types import UNKNOWN, WORDS, output_schema

MOST_FIELDS = 40
_OTHERWISE = re.compile(r"(?P<read>.*?)\s*\|\s*default\((?P<value>.*)\)", re.DOTALL)
_PIECE = re.compile(r"(?<!\$)\$\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Value:
    """One value to pick: the template that reads it, in words what it is, and what it was last, in few words."""

    template: str
    word: str
    type: str = ""
    last: str = ""

    @property
    def path(self) -> str:
        """The value as an expression names it."""
        return self.template.removeprefix("${").removesuffix("}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from: the form, an earlier step, the item of a container."""

    title: str
    kind: str
    values: Sequence[Value]


def sources(subject: Subject, place: Place) -> list[Source]:
    """Return all that the step at a place may read, nearest first."""
    found: list[Source] = []
    at: Place | None = place
    while at is not None:
        earlier = at.graph.ancestors(at.node.id)
        for name in reversed([name for name in at.graph.order if name in earlier]):
            node = at.graph.nodes[name]
            if node.kind is not Kind.INPUT:
                found.append(_of_step(subject, node, at))
        at = at.parent
        if at is not None:
            found += _of_container(at.node)
    return [*found, *_of_document(subject.document)]


def _of_step(subject: Subject, node: Node, at: Place) -> Source:
    schema = output_schema(subject, node, at.graph)
    base = f"steps.{node.id}.output"
    return Source(titled(node), node.kind, [Value(f"${{{base}}}", "all of it", _type(schema)), *_fields(base, schema)])


def _of_container(node: Node) -> Iterator[Source]:
    if node.kind is Kind.EACH:
        name = str(node.config["as"])
        yield Source(
            titled(node), node.kind, [Value(f"${{{name}}}", "this item"), Value("${item_index}", "its number")]
        )
    if node.kind is Kind.REPEAT:
        yield Source(titled(node), node.kind, [Value("${round.n}", "number of the round")])


def _of_document(document: Document) -> Iterator[Source]:
    if document.inputs:
        yield Source("The start form", Kind.INPUT, list(_fields("input", document.inputs)))
    if document.board:
        values = [Value(f"${{board.{key}}}", key) for key in document.board]
        yield Source("The board", Kind.BOARD, values)


def _fields(base: str, schema: Mapping[str, Json]) -> Iterator[Value]:
    properties = schema.get("properties") if schema is not UNKNOWN else None
    if not isinstance(properties, dict):
        return
    for name, found in list(properties.items())[:MOST_FIELDS]:
        if name.isidentifier():
            rule = found if isinstance(found, dict) else {}
            yield Value(f"${{{base}.{name}}}", str(rule.get("title") or name), _type(rule))


def _type(schema: Mapping[str, Json]) -> str:
    found = schema.get("type")
    return WORDS.get(found, "") if isinstance(found, str) else ""


def titled(node: Node) -> str:
    return node.title or spoken(node.id)


@dataclass(frozen=True, slots=True)
class Chip:
    """One `${…}` of a text: in words, as it is written, and what is wrong with it."""

    word: str
    template: str
    wrong: str = ""


def chips(text: str, titles: Mapping[str, str], wrong: Mapping[str, str]) -> list[Chip]:
    """Return the values that a template reads, each way of writing one once.

    `titles` are of the steps by id; `wrong` says what is wrong with a value, by how expressions name it.
    """
    found = []
    for source, read in _holes(text):
        said = "This cannot be read." if read is None else " ".join(wrong.get(str(one), "") for one in read).strip()
        found.append(Chip(_worded(source, read or (), titles), source, said))
    return list(dict.fromkeys(found))


def _holes(text: str) -> Sequence[tuple[str, Sequence[Reference] | None]]:
    """Return each `${…}` with what it reads, None for one that cannot be read."""
    try:
        return holes(text)
    except ExpressionError:
        pieces = _PIECE.findall(text)
    if pieces == [text]:
        return [(text, None)]
    return [hole for piece in pieces for hole in _holes(piece)]


def _worded(source: str, read: Sequence[Reference], titles: Mapping[str, str]) -> str:
    """Return an expression with the titles of steps and forms in place of what they are called in it."""
    word = source.removeprefix("${").removesuffix("}").strip()
    for path in sorted({str(one) for one in read}, key=len, reverse=True):
        word = word.replace(path, _named(path, titles))
    otherwise = _OTHERWISE.fullmatch(word)
    if otherwise is None:
        return word
    value = otherwise["value"].strip().strip("'\"")
    return f"{otherwise['read']}, if there" if value in ("", "null") else f"{otherwise['read']} or {value}"


def _named(path: str, titles: Mapping[str, str]) -> str:
    root, _, rest = path.partition(".")
    if root != "steps":
        return f"{'Form' if root == 'input' else root} · {rest}" if rest else root
    name, _, rest = rest.partition(".")
    inner = rest.removeprefix("output").strip(".")
    return f"{titles.get(name, name)} · {inner}" if inner else titles.get(name, name)
