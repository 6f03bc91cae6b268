"""Copies of steps under new names, with the references between them following. Pure."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.graph.model import Json, Kind
from pipelines.graph.parse import node_record
from pipelines.graph.shape import Hole

Raw = dict[str, Any]
_STEP = re.compile(r"\bsteps\.([a-z][a-z0-9_]*)")
_HOLE = re.compile(r"\$\{[^}]*\}")
LONGEST_NAME = 63


def fresh(base: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken: the base, else base_2, base_3 …"""
    names = set(taken)
    stem = re.sub(r"_\d+$", "", base)[: LONGEST_NAME - 5]
    number, name = 2, base
    while name in names:
        name, number = f"{stem}_{number}", number + 1
    return name


def renamed(node: Raw, names: Mapping[str, str]) -> Raw:
    """Return a copy of a raw step that refers to other steps by their new names, in what it contains too."""
    changed = copy.deepcopy(node)
    for hole in _holes(changed):
        _write(changed, hole.where, _followed(hole.value, hole.form == "expression", names))
    if changed.get("guards") in names:
        changed["guards"] = names[changed["guards"]]
    if isinstance(changed.get("prefer"), list):
        changed["prefer"] = [names.get(name, name) for name in changed["prefer"]]
    if isinstance(graph := changed.get("graph"), dict):
        # A name of an outer step that an inner one has too means the inner one there.
        outer = {old: new for old, new in names.items() if old not in graph["nodes"]}
        graph["nodes"] = {name: renamed(inner, outer) for name, inner in graph["nodes"].items()}
    return changed


def _holes(node: Raw) -> Iterator[Hole]:
    known = {name: value for name, value in node.items() if name not in ("kind", "graph")}
    yield from node_record(Kind(node["kind"])).holes(known, "")


def _followed(value: Json, bare: bool, names: Mapping[str, str]) -> Json:
    match value:
        case str() if bare:
            return _STEP.sub(lambda found: f"steps.{names.get(found[1], found[1])}", value)
        case str():
            return _HOLE.sub(lambda hole: str(_followed(hole[0], True, names)), value)
        case list():
            return [_followed(entry, bare, names) for entry in value]
        case dict():
            return {key: _followed(entry, bare, names) for key, entry in value.items()}
        case _:
            return value


def _write(node: Raw, pointer: str, value: Json) -> None:
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("/").split("/")]
    holder: Any = node
    for part in way:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    holder[int(last) if isinstance(holder, list) else last] = value
