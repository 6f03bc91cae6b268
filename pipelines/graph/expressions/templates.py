"""Templates: text and JSON with `${expression}` and `${path | default(literal)}` in it. Values are never re-read."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.graph.canonical import compact_json
from pipelines.graph.expressions.errors import ExpressionError
from pipelines.graph.expressions.evaluation import Evaluator, compiled
from pipelines.graph.expressions.operations import Scope
from pipelines.graph.expressions.syntax import (
    Call,
    Comprehension,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Parser,
    Path,
    Tree,
    Unary,
    parse,
)
from pipelines.graph.model import Json
from pipelines.graph.problems import pointer

MAX_RENDERED = 2_000_000
MAX_DEFAULT = 2_000
_NO_DEFAULT: Any = object()
_OPEN = "${"


@dataclass(frozen=True, slots=True)
class Reference:
    """A value an expression reads. `root` is input, steps, item …, `segments` what follows it.

    `optional` is true where a missing value is provided for, by `default(…)` or a `has(…)` of it in the same
    expression. `at` is the JSON pointer within the template.
    """

    root: str
    segments: tuple[str | int, ...] = ()
    optional: bool = False
    at: str = ""

    def __str__(self) -> str:
        return str(Path(self.root, self.segments))


@dataclass(frozen=True, slots=True)
class Hole:
    """One `${…}`, as it is written in `source`."""

    tree: Tree
    evaluate: Evaluator
    default: Json = _NO_DEFAULT
    source: str = ""

    def value(self, values: Mapping[str, Json]) -> Json:
        if self.default is _NO_DEFAULT:
            return _evaluated(self.evaluate, values)
        try:
            return _evaluated(self.evaluate, values)
        except ExpressionError as error:
            if error.code == "missing_value":
                return self.default
            raise


def evaluate(cel: str, values: Mapping[str, Json]) -> Json:
    """Return the value of a bare expression over the roots in `values`; raise ExpressionError."""
    return _evaluated(_expression(cel)[1], values)


def check(cel: str) -> None:
    """Raise ExpressionError when a bare expression cannot be read."""
    _expression(cel)


def check_template(template: Json) -> None:
    """Raise ExpressionError when any text of a template cannot be read."""
    for text, _ in _texts(template, ""):
        _parts(text)


def render(template: Json, values: Mapping[str, Json]) -> Json:
    """Return the template with its holes filled; raise ExpressionError.

    A text that is exactly one `${…}` becomes the value itself. Within other text a text stands as it is, and any
    other value as compact JSON. `$${` stands for a literal `${`.
    """
    if isinstance(template, str):
        return _rendered(template, values) if _OPEN in template else template
    if isinstance(template, Mapping):
        return {key: render(value, values) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [render(value, values) for value in template]
    return template


def references(template: Json) -> tuple[Reference, ...]:
    """Return every value a template reads, in order; raise ExpressionError when it cannot be read."""
    found: list[Reference] = []
    for text, at in _texts(template, ""):
        for part in _parts(text):
            if isinstance(part, Hole):
                found.extend(_references(part.tree, at, part.default is not _NO_DEFAULT))
    return tuple(found)


def holes(text: str) -> tuple[tuple[str, tuple[Reference, ...]], ...]:
    """Return each `${…}` of a text as it is written, with the values it reads; raise ExpressionError."""
    parts = (part for part in _parts(text) if isinstance(part, Hole))
    return tuple((one.source, tuple(_references(one.tree, "", one.default is not _NO_DEFAULT))) for one in parts)


def expression_references(cel: str) -> tuple[Reference, ...]:
    """Return every value a bare expression reads; raise ExpressionError when it cannot be read."""
    return tuple(_references(_expression(cel)[0], "", False))


@functools.lru_cache(maxsize=1024)
def _expression(cel: str) -> tuple[Tree, Evaluator]:
    tree = parse(cel)
    return tree, compiled(tree)


def _evaluated(evaluator: Evaluator, values: Mapping[str, Json]) -> Json:
    try:
        return evaluator(Scope(values))
    except RecursionError:
        raise ExpressionError("too_complex", "These values nest too deep to compare.") from None


def _texts(template: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(template, str):
        if _OPEN in template:
            yield template, at
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from _texts(value, pointer(at, key))
    elif isinstance(template, list | tuple):
        for index, value in enumerate(template):
            yield from _texts(value, pointer(at, index))


def _rendered(text: str, values: Mapping[str, Json]) -> Json:
    parts = _parts(text)
    if len(parts) == 1 and isinstance(parts[0], Hole):
        return parts[0].value(values)
    written: list[str] = []
    length = 0
    for part in parts:
        piece = part if isinstance(part, str) else as_text(part.value(values))
        length += len(piece)
        if length > MAX_RENDERED:
            message = f"This text would have more than {MAX_RENDERED:,} characters. Shorten what goes into it."
            raise ExpressionError("too_large", message)
        written.append(piece)
    return "".join(written)


def as_text(value: Json) -> str:
    """Return a value as it stands within text: a text as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else compact_json(value)


@functools.lru_cache(maxsize=512)
def _parts(text: str) -> tuple[str | Hole, ...]:
    found: list[str | Hole] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        if start > position and text[start - 1] == "$":
            found.append(text[position : start - 1] + _OPEN)
            position = start + len(_OPEN)
            continue
        if start > position:
            found.append(text[position:start])
        hole, position = _hole(text, start)
        found.append(hole)
    if position < len(text):
        found.append(text[position:])
    return tuple(found)


def _hole(text: str, start: int) -> tuple[Hole, int]:
    parser = Parser(text, start + len(_OPEN))
    tree = parser.expression()
    default: Json = _NO_DEFAULT
    if parser.takes("|"):
        if parser.token.value != "default":
            raise parser.unexpected("default(…)")
        parser.advance()
        if parser.token.value != "(":
            raise parser.unexpected("'('")
        default, parser = _default(text, parser.token.start + 1)
    if parser.token.kind != "sign" or parser.token.value != "}":
        raise parser.unexpected("'}'")
    end = parser.token.end
    return Hole(tree, compiled(tree), default, text[start:end]), end


def _default(text: str, start: int) -> tuple[Json, Parser]:
    parser = Parser(text, start, MAX_DEFAULT)
    tree = parser.expression()
    if not _is_constant(tree):
        raise ExpressionError(
            "bad_expression", "default(…) takes a fixed value: text, number, true, false, null, [], {}."
        )
    parser.expect(")")
    return _evaluated(compiled(tree), {}), parser


def _is_constant(tree: Tree) -> bool:
    match tree:
        case Literal():
            return True
        case Unary("-", Literal(value)):
            return isinstance(value, float)
        case ListOf(items):
            return all(_is_constant(item) for item in items)
        case MapOf(entries):
            return all(_is_constant(key) and _is_constant(value) for key, value in entries)
        case _:
            return False


def _references(tree: Tree, at: str, optional: bool) -> Iterator[Reference]:
    guarded = tuple(dict.fromkeys(_paths(tree, None, in_has=True)))
    for path in _paths(tree, None, in_has=False):
        provided = optional or any(_begins(path, guard) for guard in guarded)
        yield Reference(path.root, path.segments, provided, at)
    for path in guarded:
        yield Reference(path.root, path.segments, True, at)


def _begins(path: Path, guard: Path) -> bool:
    """Say whether a `has(guard)` speaks of this path: one is the beginning of the other."""
    shared = min(len(path.segments), len(guard.segments))
    return path.root == guard.root and path.segments[:shared] == guard.segments[:shared]


def _paths(tree: Tree, variable: str | None, *, in_has: bool) -> Iterator[Path]:
    """Yield the paths inside `has(…)`, or those outside; names a comprehension binds are no references."""
    match tree:
        case Path():
            if tree.root != variable and not in_has:
                yield tree
        case Has(path):
            if in_has:
                yield from _paths(path, variable, in_has=False)
        case Comprehension():
            yield from _paths(tree.over, variable, in_has=in_has)
            for part in (tree.body, *((tree.keep,) if tree.keep else ())):
                yield from _paths(part, tree.variable, in_has=in_has)
        case _:
            for part in _branches(tree):
                yield from _paths(part, variable, in_has=in_has)


def _branches(tree: Tree) -> tuple[Tree, ...]:
    match tree:
        case ListOf(parts) | Call(_, parts):
            return parts
        case MapOf(entries):
            return tuple(part for entry in entries for part in entry)
        case Literal():
            return ()
        case Index(of, key):
            return of, key
        case Unary(_, of):
            return (of,)
        case _:
            return tuple(getattr(tree, name) for name in tree.__slots__ if name != "sign")
