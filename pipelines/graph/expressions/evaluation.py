"""Turns an expression's tree into a function of the run's values. Only JSON is ever touched; every loop is counted."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipelines.graph.expressions.errors import ExpressionError
from pipelines.graph.expressions.operations import CALLS, OPERATORS, Scope, is_number, number, tidy, truth, wrong_type
from pipelines.graph.expressions.syntax import (
    Binary,
    Call,
    Choose,
    Comprehension,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Path,
    Tree,
    Unary,
)
from pipelines.graph.model import Json

_MISSING: Any = object()

Evaluator = Callable[[Scope], Json]


def compiled(tree: Tree, variable: str | None = None) -> Evaluator:
    """Return the function of a tree; `variable` is the name that a comprehension around it binds."""
    match tree:
        case Literal(value):
            constant = tidy(value) if isinstance(value, float) else value
            return lambda _scope: constant
        case Path():
            return _path(tree, variable)
        case Index(of, key):
            return _index(tree, compiled(of, variable), compiled(key, variable))
        case Unary(sign, of):
            return _unary(sign, compiled(of, variable))
        case Binary(sign, left, right):
            return _binary(sign, compiled(left, variable), compiled(right, variable))
        case Comprehension():
            return _comprehension(tree, variable)
        case _:
            return _built(tree, variable)


def _built(tree: Tree, variable: str | None) -> Evaluator:
    match tree:
        case Choose(condition, yes, no):
            return _choose(compiled(condition, variable), compiled(yes, variable), compiled(no, variable))
        case Has(path):
            return _has(compiled(path, variable))
        case ListOf(items):
            evaluators = [compiled(item, variable) for item in items]
            return lambda scope: [evaluator(scope) for evaluator in evaluators]
        case MapOf(entries):
            pairs = [(compiled(key, variable), compiled(value, variable)) for key, value in entries]
            return lambda scope: {_key(key(scope)): value(scope) for key, value in pairs}
        case Call(name, args):
            return functools.partial(_call, CALLS[name], tuple(compiled(arg, variable) for arg in args))
        case _:
            raise TypeError(f"{tree!r} is no expression.")


def _path(path: Path, variable: str | None) -> Evaluator:
    root, segments = path.root, path.segments
    if root == variable:
        return lambda scope: _walk(scope.entry, segments, path)

    def evaluate(scope: Scope) -> Json:
        value = scope.values.get(root, _MISSING)
        if value is _MISSING:
            raise missing(path, root)
        return _walk(value, segments, path)

    return evaluate


def _walk(value: Json, segments: tuple[str | int, ...], path: Path) -> Json:
    """Follow keys and indexes through JSON alone: there is no way from here to an attribute of an object."""
    for segment in segments:
        if isinstance(value, dict | Mapping):
            value = value.get(segment, _MISSING)
        elif isinstance(value, list | tuple) and isinstance(segment, int):
            value = value[segment] if 0 <= segment < len(value) else _MISSING
        else:
            value = _MISSING
        if value is _MISSING:
            raise missing(path, segment)
    return value


def missing(path: object, at: object) -> ExpressionError:
    return ExpressionError("missing_value", f"{str(path)[:200]} has no value: {str(at)[:80]!r} is not there.")


def _index(tree: Index, of: Evaluator, key: Evaluator) -> Evaluator:
    def evaluate(scope: Scope) -> Json:
        value, at = of(scope), key(scope)
        if isinstance(value, Mapping) and isinstance(at, str):
            found = value.get(at, _MISSING)
        elif isinstance(value, list | tuple) and is_number(at):
            whole = int(at) if at == int(at) else -1
            found = value[whole] if 0 <= whole < len(value) else _MISSING
        else:
            raise wrong_type("[…]", at if isinstance(value, Mapping | list | tuple) else value)
        if found is _MISSING:
            raise missing(written(tree), at)
        return found

    return evaluate


def written(tree: Tree) -> str:
    """Return a path for a message; what is computed shows as …"""
    match tree:
        case Path():
            return str(tree)
        case Index(of, Literal(value)):
            return f"{written(of)}[{value!r}]"
        case Index(of, _):
            return f"{written(of)}[…]"
        case _:
            return "…"


def _unary(sign: str, of: Evaluator) -> Evaluator:
    if sign == "!":
        return lambda scope: not truth(of(scope), "!")
    return lambda scope: tidy(-number(of(scope), "-"))


def _choose(condition: Evaluator, yes: Evaluator, no: Evaluator) -> Evaluator:
    return lambda scope: yes(scope) if truth(condition(scope), "? :") else no(scope)


def _has(path: Evaluator) -> Evaluator:
    def evaluate(scope: Scope) -> bool:
        try:
            path(scope)
        except ExpressionError as error:
            if error.code == "missing_value":
                return False
            raise
        return True

    return evaluate


def _comprehension(tree: Comprehension, variable: str | None) -> Evaluator:
    over, body = compiled(tree.over, variable), compiled(tree.body, tree.variable)
    keep = compiled(tree.keep, tree.variable) if tree.keep else None
    weight, finish = size_of(tree), _FINISH[tree.name]

    def values(scope: Scope, entries: Iterable[Json]) -> Iterable[tuple[Json, Json]]:
        for entry in entries:
            scope.charge(weight)
            scope.entry = entry
            if keep is None or truth(keep(scope), "map"):
                yield entry, body(scope)

    def evaluate(scope: Scope) -> Json:
        entries = over(scope)
        if not isinstance(entries, list | tuple | Mapping):
            raise wrong_type(tree.name, entries)
        return finish(values(scope, entries))

    return evaluate


def size_of(tree: object) -> int:
    """Return how many parts a tree has: what one turn of a loop costs at least."""
    if isinstance(tree, tuple):
        return sum(size_of(part) for part in tree)
    parts = getattr(tree, "__slots__", None)
    return 1 + sum(size_of(getattr(tree, part)) for part in parts) if parts else 0


_FINISH: dict[str, Callable[[Iterable[tuple[Json, Json]]], Json]] = {
    "all": lambda pairs: all(truth(value, "all") for _, value in pairs),
    "exists": lambda pairs: any(truth(value, "exists") for _, value in pairs),
    "exists_one": lambda pairs: sum(truth(value, "exists_one") for _, value in pairs) == 1,
    "map": lambda pairs: [value for _, value in pairs],
    "filter": lambda pairs: [entry for entry, value in pairs if truth(value, "filter")],
}


def _binary(sign: str, left: Evaluator, right: Evaluator) -> Evaluator:
    if sign in ("&&", "||"):
        return _logic(sign, left, right)
    apply = OPERATORS[sign]
    return lambda scope: apply(scope, left(scope), right(scope))


def _logic(sign: str, left: Evaluator, right: Evaluator) -> Evaluator:
    """CEL's logic: a side that decides makes the other side's error not matter."""
    deciding = sign == "||"

    def evaluate(scope: Scope) -> bool:
        try:
            if truth(left(scope), sign) is deciding:
                return deciding
        except ExpressionError as error:
            if error.code == "too_many_steps" or truth(right(scope), sign) is not deciding:
                raise
            return deciding
        return truth(right(scope), sign)

    return evaluate


def _call(function: Callable[..., Json], args: tuple[Evaluator, ...], scope: Scope) -> Json:
    return function(scope, *(arg(scope) for arg in args))


def _key(value: Json) -> str:
    if isinstance(value, str):
        return value
    raise wrong_type("a key", value)
