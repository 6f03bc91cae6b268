"""What changed between two documents, in words a person can approve."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from pipelines.graph.model import Json
from pipelines.graph.problems import pointer

_UNTOUCHED = frozenset({"ui", "graph", "format", "format_version"})
_LONGEST = 80
_MISSING: Json = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `kind` is added, removed, renamed, changed, connected or disconnected.

    `place` is the step's dotted place, or "" for the pipeline itself; `field` a JSON pointer within it. `where` is
    the pointer in the newer document, in the older one for what was removed. `before` and `after` are None where
    there was or is nothing.
    """

    kind: str
    place: str
    field: str
    where: str
    message: str
    before: Json = None
    after: Json = None

    def as_json(self) -> dict[str, Json]:
        return {
            "kind": self.kind,
            "place": self.place,
            "field": self.field,
            "where": self.where,
            "message": self.message,
            "before": self.before,
            "after": self.after,
        }


@dataclass(frozen=True, slots=True)
class _Scope:
    """A pair of graphs at the same place."""

    prefix: str
    where: str

    def place(self, name: str) -> str:
        return self.prefix + name

    def at(self, *parts: str | int) -> str:
        return pointer(self.where, *parts)


def changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    """Return what differs between two valid documents as JSON; moving boxes (`ui`) is no change."""
    fields = _fields(_without(old, _UNTOUCHED), _without(new, _UNTOUCHED), "")
    found = [_changed("", "The pipeline", "", *field) for field in fields]
    return [*found, *_graph(old["graph"], new["graph"], _Scope("", "/graph"))]


def _graph(old: Mapping[str, Json], new: Mapping[str, Json], scope: _Scope) -> Iterator[Change]:
    before, after = old["nodes"], new["nodes"]
    renamed = _renamed(before, after)
    for name, node in before.items():
        if name not in after and name not in renamed:
            message = f"{_named(name, node)} was removed."
            yield Change("removed", scope.place(name), "", scope.at("nodes", name), message, before=node)
    came_from = {new_name: old_name for old_name, new_name in renamed.items()}
    for name, node in after.items():
        where = scope.at("nodes", name)
        if name in came_from:
            message = f"{_named(came_from[name], node)} is now called {name!r}."
            yield Change("renamed", scope.place(name), "", where, message, came_from[name], name)
        elif name not in before:
            message = f"{_named(name, node)} was added ({node['kind']})."
            yield Change("added", scope.place(name), "", where, message, after=node)
        else:
            yield from _node(before[name], node, _Scope(f"{scope.place(name)}.", where))
    yield from _edges(old["edges"], new["edges"], renamed, scope)


def _node(old: Mapping[str, Json], new: Mapping[str, Json], scope: _Scope) -> Iterator[Change]:
    place = scope.prefix.removesuffix(".")
    name = _named(place.rpartition(".")[2], new)
    for field in _fields(_without(old, {"graph"}), _without(new, {"graph"}), ""):
        yield _changed(place, name, scope.where, *field)
    if "graph" in old and "graph" in new:
        yield from _graph(old["graph"], new["graph"], _Scope(scope.prefix, scope.at("graph")))


def _edges(old: list[Json], new: list[Json], renamed: Mapping[str, str], scope: _Scope) -> Iterator[Change]:
    before = {_edge(edge, renamed): index for index, edge in enumerate(old)}
    after = {_edge(edge, {}): index for index, edge in enumerate(new)}
    for kind, edges, others, verb in (
        ("disconnected", before, after, "no longer leads"),
        ("connected", after, before, "now leads"),
    ):
        for edge, index in edges.items():
            if edge not in others:
                source, port, target = edge
                by = "" if port == "done" else f" by {port!r}"
                message = f"{scope.place(source)!r} {verb}{by} to {scope.place(target)!r}."
                yield Change(kind, scope.place(source), "", scope.at("edges", index), message)


def _edge(edge: Mapping[str, Json], renamed: Mapping[str, str]) -> tuple[str, str, str]:
    source, target = edge["from"], edge["to"]
    return renamed.get(source, source), edge.get("port", "done"), renamed.get(target, target)


def _renamed(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, str]:
    """Return the steps that only changed their name: gone, and there again word for word under one new name."""
    came = {name: node for name, node in after.items() if name not in before}
    found: dict[str, str] = {}
    for name, node in before.items():
        if name not in after:
            same = next((new for new, other in came.items() if other == node and new not in found.values()), None)
            if same is not None:
                found[name] = same
    return found


def _fields(old: Json, new: Json, at: str) -> Iterator[tuple[str, Json, Json]]:
    """Yield (pointer, before, after) of the smallest fields that differ; _MISSING where there is none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _fields(old.get(key, _MISSING), new.get(key, _MISSING), pointer(at, key))
    elif old is _MISSING or new is _MISSING or type(old) is not type(new) or old != new:
        yield at, old, new


def _changed(place: str, name: str, where: str, at: str, before: Json, after: Json) -> Change:
    field = at[1:].replace("/", " → ").replace("~1", "/").replace("~0", "~")
    if before is _MISSING:
        message = f"{name}: {field} is now {_short(after)}."
    elif after is _MISSING:
        message = f"{name}: {field} is no longer set; it was {_short(before)}."
    else:
        message = f"{name}: {field} changed from {_short(before)} to {_short(after)}."
    old, new = (None if value is _MISSING else value for value in (before, after))
    return Change("changed", place, at, where + at, message, old, new)


def _named(name: str, node: Mapping[str, Json]) -> str:
    title = node.get("title")
    return f"The step {title!r} ({name})" if title else f"The step {name!r}"


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    quoted = f"“{text}”" if isinstance(value, str) else text
    return quoted if len(quoted) <= _LONGEST else f"{quoted[: _LONGEST - 1]}…"


def _without(document: Mapping[str, Json], keys: frozenset[str] | set[str]) -> dict[str, Json]:
    return {key: value for key, value in document.items() if key not in keys}
