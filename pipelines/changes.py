"""What changed between two documents as a page tells it: one entry per step, long texts word by word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from pipelines.canvas import spoken
from pipelines.graph import diff
from pipelines.graph.diff import Change
from pipelines.graph.durations import seconds
from pipelines.graph.model import Json
from pipelines.wording import Piece, abridged, cut

NEW, GONE, CHANGED, LINES = "new", "gone", "changed", "lines"
_LABELS = {
    "on_error": "if it fails",
    "on_expire": "if nobody answers",
    "on_exceed": "when the cap is reached",
    "max_cost_usd": "cap",
    "output_schema": "output",
    "min_approvals": "approvals needed",
    "not_starter": "not by the starter",
    "on_failed_input": "if an input is missing",
    "over": "for each of",
    "wait_for": "waits for",
    "args": "values",
    "inputs": "start form",
    "expires": "answer due within",
    "alert_at": "alerts at",
    "irreversible": "what cannot be undone",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of an entry: a label with what changed in it, or `pieces` alone. `is_data` is no prose."""

    pieces: Sequence[Piece]
    label: str = ""
    is_data: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What happened to one step. `place` is "" for the pipeline itself; `kind` is the step's, "" where there is none.

    `was` is the place of a renamed step in the older document.
    """

    mark: str
    place: str
    title: str
    kind: str = ""
    lines: list[Line] = field(default_factory=list)
    was: str = ""


def told(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Told]:
    """Return the entries in the order of the newer document, the pipeline itself first, lines between steps last."""
    return Telling(old, new).entries


def marks(entries: Sequence[Told]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the marks by place for the picture before and for the one after."""
    before = {entry.was or entry.place: entry.mark for entry in entries if entry.mark in (GONE, CHANGED)}
    after = {entry.place: entry.mark for entry in entries if entry.mark in (NEW, CHANGED)}
    return before, after


class Telling:
    """Two documents side by side, and what is said of their difference."""

    def __init__(self, old: Mapping[str, Json], new: Mapping[str, Json]) -> None:
        self._old, self._new = old, new
        found = diff.changes(old, new)
        self._came = {one.place for one in found if one.kind == "added"}
        self._went = {one.place for one in found if one.kind == "removed"}
        self._entries: dict[str, Told] = {}
        self._lines: list[Line] = []
        for change in found:
            self._take(change)

    @property
    def entries(self) -> list[Told]:
        between = [Told(LINES, "", "Order of the steps", lines=self._lines)] if self._lines else []
        return [*self._entries.values(), *between]

    def _take(self, change: Change) -> None:
        match change.kind:
            case "added":
                self._enter(NEW, change.place, change.after).lines.append(self._neighbours(change))
            case "removed":
                self._enter(GONE, change.place, change.before).lines.append(_plain("is removed"))
            case "renamed":
                self._rename(change)
            case "changed":
                self._entry(change).lines.append(_field(change))
            case _:
                self._connection(change)

    def _rename(self, change: Change) -> None:
        node, old, new = _at(self._new, change.where), str(change.before), str(change.after)
        line = Line([Piece(old, "del"), Piece(new, "ins")], "name")
        was = f"{change.place.removesuffix(new)}{old}"
        title, kind = _title(change.place, node), str(node.get("kind", ""))
        self._entries[change.place] = Told(CHANGED, change.place, title, kind, [line], was)

    def _entry(self, change: Change) -> Told:
        if not change.place:
            return self._entries.setdefault("", Told(CHANGED, "", "The pipeline itself"))
        return self._enter(CHANGED, change.place, _node(self._new, change.place))

    def _enter(self, mark: str, place: str, node: Json) -> Told:
        # A name that went and one that came in another place may be the same: what came is told under its own key.
        key = place if mark != GONE else f"-{place}"
        return self._entries.setdefault(key, Told(mark, place, _title(place, node), str(node.get("kind", ""))))

    def _neighbours(self, change: Change) -> Line:
        """Say where a new step stands: "is new, after Draft the reply and before Tell the customer"."""
        prefix, _, name = change.place.rpartition(".")
        scope = _scope(self._new, prefix)
        before = [edge["from"] for edge in scope["edges"] if edge["to"] == name]
        after = [edge["to"] for edge in scope["edges"] if edge["from"] == name]
        words = [f"{word} {_listed(scope, ids)}" for word, ids in (("after", before), ("before", after)) if ids]
        return _plain(f"is new{', ' if words else ''}{' and '.join(words)}")

    def _connection(self, change: Change) -> None:
        """Tell of a line, unless one of its ends came or went: then that is told already."""
        came = change.kind == "connected"
        edge = _at(self._new if came else self._old, change.where)
        prefix = change.place.rpartition(".")[0]
        ends = [f"{prefix}.{edge[end]}" if prefix else edge[end] for end in ("from", "to")]
        if set(ends) & (self._came if came else self._went):
            return
        source, target = (_title(end, _node(self._new if came else self._old, end)) for end in ends)
        port = edge.get("port", "done")
        by = "" if port == "done" else f" ({spoken(port).lower()})"
        verb = "now leads" if came else "no longer leads straight"
        self._lines.append(_plain(f"{source}{by} {verb} to {target}"))


def pieces(before: Json, after: Json) -> tuple[list[Piece], bool]:
    """Return a value's change in pieces, and whether it is data rather than words."""
    if isinstance(before, str) and isinstance(after, str):
        return abridged(before, after), False
    is_data = any(isinstance(value, dict | list) for value in (before, after))
    sides = ((before, "del"), (after, "ins"))
    return [Piece(_said(value, is_data), mark) for value, mark in sides if value is not None], is_data


def _field(change: Change) -> Line:
    before, after = change.before, change.after
    if change.field.endswith("_usd"):
        before, after = (f"${value}" if value is not None else None for value in (before, after))
    found, is_data = pieces(_in_words(before), _in_words(after))
    return Line(found, _label(change.field), is_data)


def _in_words(value: Json) -> Json:
    """Return a duration such as "PT1H30M" as people say it; any other value as it is."""
    try:
        rest = int(seconds(value)) if isinstance(value, str) else 0
    except ValueError:
        return value
    said: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        said += [f"{count} {unit}"] if count else []
    return " ".join(said) or value


def _label(pointer: str) -> str:
    """Return a field's way in words: "/on_error/retry/max_attempts" → "if it fails: retry: max attempts"."""
    pointer = pointer.removeprefix("/budget") if pointer == "/budget/max_cost_usd" else pointer
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return ": ".join(_LABELS.get(part) or (str(int(part) + 1) if part.isdecimal() else _word(part)) for part in parts)


def _word(part: str) -> str:
    return part.replace("_", " ")


def _said(value: Json, is_data: bool) -> str:
    match value:
        case str():
            return cut(value)
        case bool():
            return "yes" if value else "no"
        case _:
            return cut(orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_data else None).decode())


def _plain(words: str) -> Line:
    return Line([Piece(words)])


def _title(place: str, node: Json) -> str:
    name = place.rpartition(".")[2]
    return str(node.get("title") or spoken(name))


def _listed(scope: Mapping[str, Json], ids: Sequence[str]) -> str:
    titles = [_title(name, scope["nodes"][name]) for name in dict.fromkeys(ids)]
    return f"{', '.join(titles[:-1])} and {titles[-1]}" if titles[1:] else titles[0]


def _scope(document: Mapping[str, Json], place: str) -> Json:
    graph = document["graph"]
    for name in place.split(".") if place else []:
        graph = graph["nodes"][name]["graph"]
    return graph


def _node(document: Mapping[str, Json], place: str) -> Json:
    scope, _, name = place.rpartition(".")
    return _scope(document, scope)["nodes"][name]


def _at(document: Mapping[str, Json], where: str) -> Json:
    """Return what a JSON pointer of a change leads to."""
    value: Json = document
    for part in where.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
