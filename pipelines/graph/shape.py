"""The shapes of single values: each reads a value or refuses it with its place, and says itself as JSON Schema.

One table of shapes is both the parser and the published schema, so the two cannot drift apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NoReturn, Protocol

import re2

from pipelines.graph import durations, money
from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, shown

MAX_TEXT = 100_000
DURATION_PATTERN = r"^P([0-9]{1,5}D)?(T([0-9]{1,6}H)?([0-9]{1,7}M)?([0-9]{1,9}S)?)?$"
SHORTEST_DURATION = 3
MONEY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"
# A name of a step, a port or a variable: it appears in paths and expressions.
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"


class Absent:
    """The default of a field that is left out of the result when the document does not have it."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Hole:
    """A place where the author wrote a template or an expression.

    `inner` says that it is evaluated inside the container's scope, `extra` names further roots it may use.
    """

    where: str
    form: Literal["template", "expression"]
    value: Json
    inner: bool = False
    extra: tuple[str, ...] = ()


class Shape(Protocol):
    def read(self, value: Json, where: str) -> Json: ...

    def schema(self) -> dict[str, Json]: ...

    def holes(self, value: Json, where: str) -> Iterator[Hole]: ...


class Plain:
    """A shape without templates or expressions in it."""

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        yield from ()


def wrong_type(expected: str, value: Json, where: str) -> NoReturn:
    raise Refusal("wrong_type", f"This must be {expected}, not {shown(value)}.", where)


@dataclass(frozen=True)
class Text(Plain):
    """A string. A pattern is of the whole text; `hint` tells a person what it wants."""

    max: int = 200
    min: int = 0
    pattern: str = ""
    hint: str = ""

    @cached_property
    def _compiled(self) -> Any:
        return re.compile(self.pattern, re.ASCII)  # one of ours, on a short text: the fastest to ask

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, str):
            wrong_type("text", value, where)
        if not self.min <= len(value) <= self.max:
            limit = f"at most {self.max} characters" if len(value) > self.max else "some text"
            raise Refusal("bad_value", f"This must have {limit}; it has {len(value)}.", where)
        if self.pattern and not self._compiled.fullmatch(value):
            raise Refusal("bad_value", f"{shown(value)} is not {self.hint}.", where)
        return value

    def schema(self) -> dict[str, Json]:
        found: dict[str, Json] = {"type": "string", "maxLength": self.max}
        if self.min:
            found["minLength"] = self.min
        if self.pattern:
            found["pattern"] = self.pattern
        return found


@dataclass(frozen=True, slots=True)
class Choice(Plain):
    values: tuple[str, ...]

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, str):
            wrong_type("text", value, where)
        if value not in self.values:
            raise Refusal("bad_value", f"{shown(value)} is none of: {', '.join(self.values)}.", where)
        return value

    def schema(self) -> dict[str, Json]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Whole(Plain):
    min: int
    max: int

    def read(self, value: Json, where: str) -> Json:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            wrong_type("a whole number", value, where)
        if not self.min <= value <= self.max:
            raise Refusal("out_of_range", f"{shown(value)} is not between {self.min} and {self.max}.", where)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "integer", "minimum": self.min, "maximum": self.max}


@dataclass(frozen=True, slots=True)
class Number(Plain):
    min: float
    max: float

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, int | float) or isinstance(value, bool):
            wrong_type("a number", value, where)
        if not self.min <= value <= self.max:
            raise Refusal("out_of_range", f"{shown(value)} is not between {self.min:g} and {self.max:g}.", where)
        return float(value)

    def schema(self) -> dict[str, Json]:
        return {"type": "number", "minimum": self.min, "maximum": self.max}


@dataclass(frozen=True, slots=True)
class Flag(Plain):
    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, bool):
            wrong_type("true or false", value, where)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Duration(Plain):
    """Reads ISO 8601 text and gives seconds, at most `most`."""

    most: float | None = None

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, str):
            wrong_type("a duration such as PT2M", value, where)
        try:
            found = durations.seconds(value)
        except ValueError:
            message = f"{shown(value)} is not a duration such as PT90S, PT2M, PT1H or P3D."
            raise Refusal("bad_value", message, where) from None
        if self.most is not None and found > self.most:
            raise Refusal("out_of_range", f"{shown(value)} is longer than the {self.most:,.0f} s allowed here.", where)
        return found

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": DURATION_PATTERN, "minLength": SHORTEST_DURATION}


@dataclass(frozen=True, slots=True)
class Money(Plain):
    """Reads a decimal string in dollars and gives micro-dollars."""

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, str):
            wrong_type('an amount in dollars as text, such as "5.00"', value, where)
        if not re2.search(MONEY_PATTERN, value):
            raise Refusal("bad_value", f'{shown(value)} is not an amount in dollars such as "5.00".', where)
        return money.micros(value)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": MONEY_PATTERN}


@dataclass(frozen=True, slots=True)
class Anything(Plain):
    """Any JSON, kept as it is; `object_only` for a JSON Schema or free notes."""

    object_only: bool = False

    def read(self, value: Json, where: str) -> Json:
        if self.object_only and not isinstance(value, dict):
            wrong_type("an object", value, where)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "object"} if self.object_only else {}


@dataclass(frozen=True, slots=True)
class Template:
    """Any JSON whose texts may hold `${…}`; `text` and `object_only` narrow it."""

    text: bool = False
    object_only: bool = False
    inner: bool = False

    def read(self, value: Json, where: str) -> Json:
        if self.text:
            return Text(MAX_TEXT).read(value, where)
        return Anything(self.object_only).read(value, where)

    def schema(self) -> dict[str, Json]:
        return Text(MAX_TEXT).schema() if self.text else Anything(self.object_only).schema()

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        if value is not None:
            yield Hole(where, "template", value, self.inner)


@dataclass(frozen=True, slots=True)
class Expression:
    """Bare CEL. Its length is a problem at publish, not a refusal, so that a draft in the making can be saved."""

    inner: bool = False
    extra: tuple[str, ...] = ()

    def read(self, value: Json, where: str) -> Json:
        return Text(MAX_TEXT).read(value, where)

    def schema(self) -> dict[str, Json]:
        return Text(MAX_TEXT).schema()

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        if value is not None:
            yield Hole(where, "expression", value, self.inner, self.extra)
