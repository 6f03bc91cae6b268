"""What the operators and functions of the expression language do to JSON values, and what each costs.

Numbers are doubles, as in JSON; a whole result is an int, so that 2 + 2 prints as 4. There is no clock here: what
bounds an evaluation is the step limit and the text limit.
"""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.graph.expressions.errors import ExpressionError
from pipelines.graph.model import Json
from pipelines.graph.problems import kind_of
from pipelines.graph.regex import regex

MAX_STEPS = 200_000
MAX_TEXT = 262_144
# Characters that cost as much as one step: texts are compared and searched by fast code.
TEXT_PER_STEP = 256
_EXACT = 2**53


class Scope:
    """The values an expression sees, the entry of its comprehension, and the steps it may still take."""

    __slots__ = ("entry", "left", "values")

    def __init__(self, values: Mapping[str, Json]) -> None:
        self.values = values
        self.entry: Json = None
        self.left = MAX_STEPS

    def charge(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            message = f"This expression takes more than {MAX_STEPS:,} steps. Use a smaller list or a simpler condition."
            raise ExpressionError("too_many_steps", message)

    def text(self, value: Json, doing: str) -> str:
        """Return a text short enough to work on, and charge for it."""
        if not isinstance(value, str):
            raise wrong_type(doing, value)
        if len(value) > MAX_TEXT:
            message = f"{doing} takes texts of at most {MAX_TEXT:,} characters; this one has {len(value):,}."
            raise ExpressionError("too_large", message)
        self.charge(1 + len(value) // TEXT_PER_STEP)
        return value


def tidy(number: float) -> Json:
    """Return a whole double as an int, another as it is; raise ExpressionError for one that is not finite."""
    if not math.isfinite(number):
        raise ExpressionError("bad_number", "This calculation has no finite result (a division by zero, or too large).")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _add(scope: Scope, left: Json, right: Json) -> Json:
    if isinstance(left, str) and isinstance(right, str):
        return scope.text(left + right if len(left) + len(right) <= 2 * MAX_TEXT else left, "+")
    if isinstance(left, list) and isinstance(right, list):
        scope.charge(len(left) + len(right))
        return left + right
    return tidy(number(left, "+") + number(right, "+"))


def _arithmetic(sign: str, apply: Callable[[float, float], float]) -> Callable[[Scope, Json, Json], Json]:
    def evaluate(_scope: Scope, left: Json, right: Json) -> Json:
        try:
            return tidy(apply(number(left, sign), number(right, sign)))
        except (ZeroDivisionError, OverflowError, ValueError):
            return tidy(math.inf)

    return evaluate


def _comparison(sign: str, apply: Callable[[Any, Any], bool]) -> Callable[[Scope, Json, Json], Json]:
    def evaluate(scope: Scope, left: Json, right: Json) -> Json:
        if is_number(left) and is_number(right):
            return apply(left, right)
        return apply(scope.text(left, sign), scope.text(right, sign))

    return evaluate


def _in(scope: Scope, item: Json, holder: Json) -> bool:
    if isinstance(holder, Mapping):
        return isinstance(item, str) and item in holder
    if isinstance(holder, list | tuple):
        return any(equal(scope, item, other) for other in holder)
    raise wrong_type("in", holder)


def equal(scope: Scope, left: Json, right: Json) -> bool:
    """Compare as JSON: 1 equals 1.0, true does not equal 1, and unlike kinds differ."""
    scope.charge(1)
    if isinstance(left, str) and isinstance(right, str):
        if len(left) != len(right):
            return False
        scope.charge(len(left) // TEXT_PER_STEP)
        return left == right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(scope, left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(functools.partial(equal, scope), left, right))
    if is_number(left) and is_number(right):
        return bool(left == right)
    return left is right


OPERATORS: dict[str, Callable[[Scope, Json, Json], Json]] = {
    "+": _add,
    "-": _arithmetic("-", operator.sub),
    "*": _arithmetic("*", operator.mul),
    "/": _arithmetic("/", operator.truediv),
    "%": _arithmetic("%", math.fmod),
    "<": _comparison("<", operator.lt),
    "<=": _comparison("<=", operator.le),
    ">": _comparison(">", operator.gt),
    ">=": _comparison(">=", operator.ge),
    "==": equal,
    "!=": lambda scope, left, right: not equal(scope, left, right),
    "in": _in,
}


def _size(_scope: Scope, value: Json) -> int:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise wrong_type("size()", value)


def _matches(scope: Scope, text: Json, pattern: Json) -> bool:
    try:
        compiled = regex(scope.text(pattern, "matches()"))
    except ValueError as error:
        raise ExpressionError("bad_expression", str(error)) from None
    text = scope.text(text, "matches()")
    scope.charge(compiled.cost(text))
    return compiled.found_in(text)


def _string(scope: Scope, value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return str(tidy(float(value)))
    raise wrong_type("string()", value)


def _double(scope: Scope, value: Json) -> Json:
    if isinstance(value, str):
        try:
            return tidy(float(scope.text(value, "double()")[:64]))
        except ValueError:
            raise wrong_type("double()", value) from None
    return tidy(number(value, "double()"))


def _int(scope: Scope, value: Json) -> Json:
    return tidy(float(math.trunc(_double(scope, value))))


CALLS: dict[str, Callable[..., Json]] = {
    "size": _size,
    "string": _string,
    "double": _double,
    "int": _int,
    "matches": _matches,
    "contains": lambda scope, a, b: scope.text(b, "contains()") in scope.text(a, "contains()"),
    "startsWith": lambda scope, a, b: scope.text(a, "startsWith()").startswith(scope.text(b, "startsWith()")),
    "endsWith": lambda scope, a, b: scope.text(a, "endsWith()").endswith(scope.text(b, "endsWith()")),
}


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Json, doing: str) -> float:
    if not is_number(value):
        raise wrong_type(doing, value)
    try:
        return float(value)
    except OverflowError:
        raise ExpressionError("bad_number", "This number is too large to calculate with.") from None


def truth(value: Json, doing: str) -> bool:
    if isinstance(value, bool):
        return value
    raise wrong_type(doing, value)


def wrong_type(doing: str, value: Json) -> ExpressionError:
    return ExpressionError("wrong_type", f"{doing} does not work with {kind_of(value)}.")
