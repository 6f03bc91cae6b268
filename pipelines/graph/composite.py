"""The shapes of what holds other values: lists, tables, records, and choices between shapes."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import NoReturn

from pipelines.graph.model import Json
from pipelines.graph.problems import Refusal, pointer, shown
from pipelines.graph.shape import ABSENT, Hole, Plain, Shape, wrong_type


@dataclass(frozen=True, slots=True)
class Listing:
    item: Shape
    max: int = 1_000
    min: int = 0

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, list):
            wrong_type("a list", value, where)
        if not self.min <= len(value) <= self.max:
            message = f"This list must have {self.min} to {self.max} entries; it has {len(value)}."
            raise Refusal("out_of_range", message, where)
        return [self.item.read(entry, pointer(where, index)) for index, entry in enumerate(value)]

    def schema(self) -> dict[str, Json]:
        found: dict[str, Json] = {"type": "array", "items": self.item.schema(), "maxItems": self.max}
        if self.min:
            found["minItems"] = self.min
        return found

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        for index, entry in enumerate(value or ()):
            yield from self.item.holes(entry, pointer(where, index))


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """One value of a shape, or a list of them; kept as it was written."""

    item: Shape
    max: int = 20

    @property
    def _many(self) -> Listing:
        return Listing(self.item, self.max, 1)

    def read(self, value: Json, where: str) -> Json:
        return (self._many if isinstance(value, list) else self.item).read(value, where)

    def schema(self) -> dict[str, Json]:
        return {"anyOf": [self.item.schema(), self._many.schema()]}

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        yield from (self._many if isinstance(value, list) else self.item).holes(value, where)


@dataclass(frozen=True, slots=True)
class Table:
    """An object with free names, all values of one shape."""

    item: Shape
    max: int = 200

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, dict):
            wrong_type("an object", value, where)
        if len(value) > self.max:
            raise Refusal("out_of_range", f"This may have {self.max} entries; it has {len(value)}.", where)
        return {name: self.item.read(entry, pointer(where, name)) for name, entry in value.items()}

    def schema(self) -> dict[str, Json]:
        return {"type": "object", "additionalProperties": self.item.schema(), "maxProperties": self.max}

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        for name, entry in (value or {}).items():
            yield from self.item.holes(entry, pointer(where, name))


@dataclass(frozen=True, slots=True)
class Field:
    """One named field of a record. `default` fills in for an absent one; `means` is its line in the documentation."""

    shape: Shape
    default: Json = None
    required: bool = False
    means: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An object with exactly these fields. `one_only` wants exactly one of them.

    A record with a `name` stands in the published schema once, under that name.
    """

    fields: Mapping[str, Field]
    one_only: bool = False
    name: str = ""

    def read(self, value: Json, where: str) -> Json:
        if not isinstance(value, dict):
            wrong_type("an object", value, where)
        for name in value:
            if name not in self.fields:
                self._refuse_unknown(name, where)
        if self.one_only and len(value) != 1:
            raise Refusal("bad_value", f"This must have exactly one of: {', '.join(self.fields)}.", where)
        return dict(self._entries(value, where))

    def _entries(self, value: Mapping[str, Json], where: str) -> Iterator[tuple[str, Json]]:
        for name, entry in self.fields.items():
            if name in value:
                yield name, entry.shape.read(value[name], pointer(where, name))
            elif entry.required:
                raise Refusal("missing_key", f"The field {name!r} is missing here.", where)
            elif entry.default is not ABSENT:
                # A copy, so that no reader can change the table.
                yield name, copy(entry.default)

    def _refuse_unknown(self, name: str, where: str) -> NoReturn:
        close = difflib.get_close_matches(name[:64], self.fields, n=1)
        advice = f" Did you mean {close[0]!r}?" if close else f" Known are: {', '.join(sorted(self.fields))}."
        raise Refusal("unknown_key", f"There is no field {shown(name)} here.{advice}", pointer(where, name))

    def schema(self) -> dict[str, Json]:
        return {"$ref": f"#/$defs/{self.name}"} if self.name else self.definition()

    def definition(self) -> dict[str, Json]:
        found: dict[str, Json] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: entry.shape.schema() for name, entry in self.fields.items()},
        }
        if required := [name for name, entry in self.fields.items() if entry.required]:
            found["required"] = required
        if self.one_only:
            found |= {"minProperties": 1, "maxProperties": 1}
        return found

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        for name, entry in self.fields.items():
            if value is not None and name in value:
                yield from entry.shape.holes(value[name], pointer(where, name))


@dataclass(frozen=True, slots=True)
class Within(Plain):
    """A record that may stand within itself: `find` gives it, `name` is its name in the published schema.

    How deep it goes is bounded by how deep JSON may go.
    """

    name: str
    find: Callable[[], Record]

    def read(self, value: Json, where: str) -> Json:
        return self.find().read(value, where)

    def schema(self) -> dict[str, Json]:
        return {"$ref": f"#/$defs/{self.name}"}


@dataclass(frozen=True, slots=True)
class Either:
    """The first shape that takes the value; `hint` says what is allowed."""

    shapes: tuple[Shape, ...]
    hint: str

    def read(self, value: Json, where: str) -> Json:
        for shape in self.shapes:
            try:
                return shape.read(value, where)
            except Refusal as refusal:
                # A refusal deeper inside means that this shape was meant, so its own words help most.
                if refusal.where != where:
                    raise
        raise Refusal("bad_value", f"This must be {self.hint}, not {shown(value)}.", where)

    def schema(self) -> dict[str, Json]:
        return {"anyOf": [shape.schema() for shape in self.shapes]}

    def holes(self, value: Json, where: str) -> Iterator[Hole]:
        for shape in self.shapes:
            yield from shape.holes(value, where)
