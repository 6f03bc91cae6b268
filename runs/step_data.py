"""The values that a step reads, as one run had them: its form, what earlier steps came to, its item or round."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipelines.graph.model import Graph, Json, Kind, Node
from pipelines.graph.places import Place
from pipelines.graph.reading import Path
from runs import artifacts
from runs.engine import paths
from runs.engine.status import StepState
from runs.models import Run, Step

MOST_INSTANCES = 1_000
_NUMBER = re.compile(r"[\[#](\d+)\]?\.$")


@dataclass(frozen=True, slots=True)
class _Level:
    """A scope around the step in this run: its graph, the prefix of its paths, the container it is an instance of."""

    graph: Graph
    prefix: str
    container: Node | None

    @property
    def number(self) -> int:
        """Which item (from 0) or round (from 1) this is."""
        found = _NUMBER.search(self.prefix)
        return int(found[1]) if found else 0


def path_in(run: Run, place: Place, asked: str = "") -> str:
    """Return the path of the step in a run: the one asked for, else one that failed, else the first there is.

    Where the run never came to it, the path it would have had in the first item or round. One query.
    """
    local = _local(run, place)
    rows = Step.objects.filter(run=run, node=place.node.id).order_by("position", "id")
    found = dict(rows.values_list("path", "state")[:MOST_INSTANCES])
    known = [path for path in found if paths.place_of(path) == local]
    if asked in known:
        return asked
    failed = (path for path in known if found[path] == StepState.FAILED)
    return next(failed, None) or next(iter(known), None) or _first(run, place)


def values_in(run: Run, place: Place, wanted: Iterable[Path], path: str) -> dict[Path, Json]:
    """Return those of the wanted values that the step at `path` had, or would have had, in a run. At most one query,
    and one more for each value too large for a row."""
    levels = _levels(run, place, path)
    where = {one: found for one in wanted if (found := _row_of(one, levels)) is not None}
    beyond = _beyond(run) if len(where) < len(set(wanted)) else {}
    rows = Step.objects.filter(run=run, path__in={path for path, _ in where.values()})
    rows_by_path = {row.path: row for row in rows.only("run_id", "path", "state", "input", "output", "meta", "large")}
    values: dict[Path, Json] = {}
    for one in wanted:
        if one in where:
            at, column = where[one]
            value = _column(rows_by_path.get(at), column, _number_of(one, levels))
        else:
            value = _counted(one, levels) if one[0] in ("item_index", "round") else None
            value = _dug(beyond, one) if value is None else value
        if value is not None:
            values[one] = value
    return values


def _beyond(run: Run) -> Json:
    """Return what the steps see that stands in no row: the form and, in an item of a For each, what it was given."""
    given = artifacts.input_of(run)
    return given if run.origin.get("place") else {"input": given}


def _local(run: Run, place: Place) -> str:
    """Return the place within what the run carries out: an item of a For each has only the graph of that."""
    around = run.origin.get("place", "")
    return place.name.removeprefix(f"{around}.") if around else place.name


def _around(run: Run, place: Place) -> list[Place]:
    """Return the containers around the step within this run, outermost first."""
    depth = len(run.origin["place"].split(".")) if run.origin.get("place") else 0
    return list(reversed(list(place.enclosing)))[depth:]


def _first(run: Run, place: Place) -> str:
    marks = {Kind.EACH: "[0]", Kind.REPEAT: "#1"}
    around = [f"{one.node.id}{marks.get(one.node.kind, '')}." for one in _around(run, place)]
    return "".join([*around, place.node.id])


def _levels(run: Run, place: Place, path: str) -> list[_Level]:
    """Return the scopes that the step sees in this run, innermost first."""
    around = _around(run, place)
    graphs = [one.graph for one in [*around, place]]
    prefixes = ["", *reversed(list(paths.scopes_of(path)))]
    containers = [None, *(one.node for one in around)]
    return [_Level(*parts) for parts in zip(graphs, prefixes, containers, strict=False)][::-1]


def _row_of(one: Path, levels: list[_Level]) -> tuple[str, str] | None:
    """Return the path and the column in which a value stands; None where it is in no step's row."""
    match one:
        case ("steps", name, part):
            level = next((level for level in levels if name in level.graph.nodes), None)
            return (f"{level.prefix}{name}", part) if level else None
        case ("round", "previous", name, part):
            level = _innermost(levels, Kind.REPEAT)
            return (f"{paths.round_before(level.prefix)}{name}", part) if level and level.number > 1 else None
        case (name,) if level := _each(levels, name):
            return paths.container_of(level.prefix), "item"
    return None


def _each(levels: list[_Level], name: str) -> _Level | None:
    found = (level for level in levels if level.container and level.container.kind is Kind.EACH)
    return next((level for level in found if level.container and name in ("item", level.container.config["as"])), None)


def _innermost(levels: list[_Level], kind: Kind) -> _Level | None:
    return next((level for level in levels if level.container and level.container.kind is kind), None)


def _number_of(one: Path, levels: list[_Level]) -> int:
    level = _each(levels, one[0]) if len(one) == 1 else None
    return level.number if level else 0


def _counted(one: Path, levels: list[_Level]) -> int | None:
    kind = {("item_index",): Kind.EACH, ("round", "n"): Kind.REPEAT}.get(one)
    level = _innermost(levels, kind) if kind else None
    return level.number if level else None


def _column(row: Step | None, column: str, number: int) -> Json:
    if row is None:
        return None
    if column == "item":
        given = artifacts.whole(row.run_id, row.large, "input", row.input)
        items = given.get("over") if isinstance(given, Mapping) else None
        return items[number] if isinstance(items, list) and number < len(items) else None
    if column not in ("output", "meta") or row.state != StepState.SUCCEEDED:
        return None
    return artifacts.whole(row.run_id, row.large, column, getattr(row, column))


def _dug(values: Json, path: Iterable[str]) -> Json:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def nested(values: Mapping[Path, Json]) -> dict[str, Json]:
    """Return values by path as the object that a run of one item has as its input."""
    found: dict[str, Json] = {}
    for path, value in values.items():
        inner = found
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = value
    return found


def names(found: Iterable[Path]) -> Iterator[str]:
    """Yield the names under which a run keeps whose words its values are: "input.topic", "steps.research", "item"."""
    for path in found:
        yield ".".join(path[:2]) if path[0] in ("input", "steps") else path[0]
